"""What a project says of rules: findings that it allows, with the reason, and how severe each rule is."""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from evolve.values import dataclass

SeverityWord = Literal["error", "warning", "info", "off"]


@dataclass(frozen=True, slots=True)
class AllowedBySetting:
    """One `[[tool.evolve.lint.allow]]`.

    Args:
        rules: ids, names, families such as "7xx", or "all".
        because: the reason; never empty.
        files: globs, see `matches`, or revision ids; everywhere where it is empty.
        until: the last day on which it holds.
        file: where it is written, at `line`; 0 where that is not known.
    """

    rules: tuple[str, ...]
    because: str
    files: tuple[str, ...] = ()
    until: date | None = None
    file: Path = Path("pyproject.toml")
    line: int = 0


@dataclass(frozen=True, slots=True)
class SeveritySetting:
    """One line of `[tool.evolve.lint.severity]`; `word` is an id, a name or a family."""

    word: str
    severity: SeverityWord


def matches(pattern: str, revision: str, paths: tuple[str, ...]) -> bool:
    """Whether `pattern` is the revision's id, or a glob over one of the names that its file goes by.

    `*` also stands for slashes, as in `exclude`.
    """
    return pattern == revision or any(fnmatchcase(path, pattern) for path in paths)
