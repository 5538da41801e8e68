"""Which rules of ours are which checks of other tools, and what their own comments in SQL ignore."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from evolve.lint.rule import Rule
from evolve.sql.script import comments, pieces
from evolve.values import dataclass

TOOLS = ("squawk", "eugene", "strong_migrations", "zdm")

_COMMENTS = {
    "squawk": re.compile(r"squawk-(?P<scope>ignore-file|ignore)\b[ \t:]*(?P<names>[\w, \t-]*)"),
    "eugene": re.compile(r"eugene:[ \t]*(?P<scope>ignore)\b[ \t]*(?P<names>[\w, \t]*)"),
}


@dataclass(frozen=True, slots=True)
class ForeignIgnore:
    """One comment of another tool.

    Args:
        names: checks of that tool; none are all of them.
        line: where the comment stands.
        lines: the statement it speaks for; None is the whole file.
    """

    names: tuple[str, ...]
    line: int
    lines: range | None


def equivalents(tool: str, rules: Collection[Rule]) -> Mapping[str, Sequence[Rule]]:
    """Our rules by the name that `tool` gives to the same check."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        for peer in rule.peers:
            owner, _, name = peer.partition(":")
            if owner == tool:
                found.setdefault(name, []).append(rule)
    return found


def ignores_in(tool: str, source: str) -> Iterator[ForeignIgnore]:
    """The comments of a file of SQL that tell `tool` to ignore something; a comment speaks for what follows it."""
    pattern = _COMMENTS.get(tool)
    if pattern is None or tool not in source:
        return
    statements = [range(piece.first_line, piece.last_line + 1) for piece in pieces(source)]
    for comment in comments(source):
        found = pattern.match(comment.text)
        if found is None:
            continue
        names = tuple(name for name in re.split(r"[,\s]+", found["names"]) if name)
        if found["scope"] == "ignore-file":
            yield ForeignIgnore(names, comment.line, None)
            continue
        lines = next((lines for lines in statements if comment.line < lines.stop), None)
        if lines is not None:
            yield ForeignIgnore(names, comment.line, lines)
