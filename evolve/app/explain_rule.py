"""Which rules there are, and what their pages say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from inspect import getfile
from pathlib import Path

from evolve.lint import lookup
from evolve.lint.peers import TOOLS
from evolve.lint.rule import Rule
from evolve.lint.rules import ALL
from evolve.plugin_loader import load_plugins
from evolve.values import dataclass

FAMILIES = {
    "1": "blocks traffic",
    "2": "breaks running code",
    "3": "breaks new code on the old schema",
    "4": "loses data",
    "5": "partitions",
    "6": "fails, or does not do what Alembic makes it look like",
    "7": "guidelines",
    "8": "costs without use",
    "9": "could not be analysed, or is allowed in a way that does not work",
}
_COLUMNS = ("id", "name", "severity", "lock", "under the lock", "breaks code", "versions", *TOOLS, "")


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rule in words.

    Args:
        title: the first sentence of the rule's module, or of its page.
        page: the whole page, in Markdown.
        lock: the lock it claims, in PostgreSQL's words; None where it claims none.
        opt_in: asked only where it is enabled.
        versions: the major versions of PostgreSQL it concerns; empty for all.
        peers: the same check in other tools, such as "squawk:renaming-column".
    """

    rule: str
    name: str
    severity: str
    title: str
    page: str
    lock: str | None
    rewrite: bool
    scan: bool
    fails: bool
    breaks_old_code: bool
    breaks_new_code: bool
    opt_in: bool
    versions: str
    peers: tuple[str, ...]


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
        title=rule.title,
        page=rule.page,
        lock=str(rule.lock) if rule.lock is not None else None,
        rewrite=rule.rewrite,
        scan=rule.scan,
        fails=rule.fails,
        breaks_old_code=rule.breaks_old_code,
        breaks_new_code=rule.breaks_new_code,
        opt_in=rule.opt_in,
        versions=rule.versions,
        peers=rule.peers,
    )


def reference(rules: Sequence[Rule] = ALL) -> str:
    """The page `docs/reference/rules.md`."""
    lines = [
        "# Rules",
        "",
        "Written by `evolve explain --reference`. The lock is the strongest one taken, or kept, on a table in use.",
        "It is measured: a test runs the examples of each page on a server. A rule that is opt-in is asked where",
        "`--enable` or `[tool.evolve.lint] enable` names it. Four columns name the same check in other tools:",
        "`evolve lint --import-ignores squawk` reads what they were told to ignore.",
    ]
    for digit, family in FAMILIES.items():
        members = [rule for rule in rules if rule.id.startswith(f"EV{digit}")]
        if members:
            lines += ["", f"## {digit}xx {family}", "", _line(_COLUMNS), "|---" * len(_COLUMNS) + "|"]
            lines += map(_row, members)
    return "\n".join(lines) + "\n"


def _row(rule: Rule) -> str:
    file = Path(getfile(type(rule))).with_suffix(".md")
    work = "rewrite" if rule.rewrite else "scan" if rule.scan else "fails" if rule.fails else ""
    breaks = [
        word for broken, word in ((rule.breaks_old_code, "old"), (rule.breaks_new_code, "new")) if broken
    ]
    lock = str(rule.lock) if rule.lock is not None else ""
    severity = f"{rule.severity}, opt-in" if rule.opt_in else str(rule.severity)
    link = f"[{rule.id}](../../lint/rules/{file.parent.name}/{file.name})"
    peers = (", ".join(_names_in(rule, tool)) for tool in TOOLS)
    breaking = ", ".join(breaks)
    return _line((link, rule.name, severity, lock, work, breaking, rule.versions, *peers, rule.title))


def _names_in(rule: Rule, tool: str) -> Iterator[str]:
    for peer in rule.peers:
        owner, _, name = peer.partition(":")
        if owner == tool:
            yield name


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
