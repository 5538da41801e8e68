"""How severe the findings of each rule are where a project's settings say so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from evolve.errors import Misuse
from evolve.lint import lookup
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.settings import SeveritySetting, SeverityWord

Severities = Mapping[str, SeverityWord]  # by the ids of rules


class TwoSeverities(Misuse):
    def __init__(self, first: SeveritySetting, second: SeveritySetting) -> None:
        super().__init__(
            f'lint.severity calls one rule "{first.word}" and "{second.word}", '
            f"and makes it {first.severity} and {second.severity}",
            fix="remove one of the two",
        )


def severities(settings: Iterable[SeveritySetting], rules: Collection[Rule]) -> Severities:
    """What `settings` say of each rule; what names a rule goes before what names its family.

    Raises:
        UnknownRule: a word means no rule.
        TwoSeverities: two words name one rule, by its id and by its name, and differ.
    """
    everything: dict[str, SeverityWord] = {}
    families: dict[str, SeverityWord] = {}
    single: dict[str, SeveritySetting] = {}
    for setting in settings:
        ids = lookup.meant(setting.word, rules, "lint.severity")
        if setting.word == "all":
            everything.update((rule, setting.severity) for rule in ids)
        elif setting.word.endswith("xx"):
            families.update((rule, setting.severity) for rule in ids)
        else:
            for rule in ids:
                before = single.setdefault(rule, setting)
                if before.severity != setting.severity:
                    raise TwoSeverities(before, setting)
    return {**everything, **families, **{rule: setting.severity for rule, setting in single.items()}}


def with_severity(finding: Finding, chosen: Severities) -> Finding:
    """`finding` as severe as is `chosen`; what the sizes of tables made of it stays a step up, or information.

    One that is switched off is left as it is.
    """
    word = chosen.get(finding.rule, "off")
    if word == "off":
        return finding
    severity, weight = Severity[word.upper()], finding.weight
    if weight is None or weight.before is None:
        return replace(finding, severity=severity)
    weighed = min(severity, Severity.INFO) if finding.quieted else Severity(min(severity + 1, Severity.ERROR))
    return replace(finding, severity=weighed, weight=replace(weight, before=severity))
