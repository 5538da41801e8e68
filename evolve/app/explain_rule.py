"""Which rules there are, and what their pages say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evolve.lint import lookup
from evolve.lint.rule import Rule
from evolve.lint.rules import ALL
from evolve.plugin_loader import load_plugins


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rule in words.

    Args:
        lead: first paragraph of the page, as one line.
        page: the whole page, in Markdown.
        lock: the lock it claims, in PostgreSQL's words; None where it claims none.
    """

    rule: str
    name: str
    severity: str
    lead: str
    page: str
    lock: str | None
    rewrite: bool
    scan: bool
    fails: bool
    breaks_old_code: bool
    breaks_new_code: bool


def all_rules() -> tuple[Rule, ...]:
    """The built-in rules, then those of plugins in the order of the plugins' names.

    Raises:
        PluginFailed and its kin: a plugin is broken.
    """
    plugged = (rule() for loaded in load_plugins() for rule in loaded.plugin.rules)
    return (*ALL, *plugged)


def explain(word: str, rules: Sequence[Rule]) -> Explanation:
    """What the rule that `word` names is about.

    Raises:
        UnknownRule: none is of that id or name.
    """
    return describe(lookup.find(word, rules))


def describe(rule: Rule) -> Explanation:
    return Explanation(
        rule=rule.id,
        name=rule.name,
        severity=str(rule.severity),
        lead=_lead(rule.page),
        page=rule.page,
        lock=str(rule.lock) if rule.lock is not None else None,
        rewrite=rule.rewrite,
        scan=rule.scan,
        fails=rule.fails,
        breaks_old_code=rule.breaks_old_code,
        breaks_new_code=rule.breaks_new_code,
    )


def _lead(page: str) -> str:
    _, _, rest = page.partition("\n")
    return re.sub(r"\s+", " ", rest.strip().split("\n\n")[0])
