"""Reads what other tools were told to ignore, and finds the rules of ours that this means."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evolve.errors import Misuse
from evolve.lint.peers import TOOLS, equivalents
from evolve.lint.rule import Rule

_DISABLED = re.compile(r"^[^#\n]*StrongMigrations\.disable_check\(?\s*:(\w+)", re.MULTILINE)


class UnknownTool(Misuse):
    def __init__(self, tool: str) -> None:
        super().__init__(
            f'evolve reads no ignore list of "{tool}"', fix=f"it reads those of {', '.join(TOOLS)}"
        )


class NoIgnoreList(Misuse):
    def __init__(self, tool: str, looked_for: str, directory: Path) -> None:
        super().__init__(
            f"{tool} has no ignore list here: no {looked_for} in {directory} or above",
            fix="leave out --import-ignores, or run evolve where the list is",
        )


class BrokenIgnoreList(Misuse):
    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}", fix="correct the file, or leave out --import-ignores")


@dataclass(frozen=True, slots=True)
class Imported:
    """What the lists of other tools mean here.

    Args:
        reasons: ids of our rules that are ignored, each with the list that says so.
        unmatched: per list, the names in it that no rule of ours is like.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    unmatched: Mapping[Path, Sequence[str]] = field(default_factory=dict)


def import_ignores(tools: Collection[str], directory: Path, rules: Collection[Rule]) -> Imported:
    """Read the nearest ignore list of each of `tools`, from `directory` upwards.

    Raises:
        UnknownTool, NoIgnoreList, BrokenIgnoreList.
    """
    reasons: dict[str, str] = {}
    unmatched: dict[Path, list[str]] = {}
    for tool in tools:
        if tool not in _READERS:
            raise UnknownTool(tool)
        file, names = _READERS[tool](directory)
        known = equivalents(tool, rules)
        for name in names:
            for rule in known.get(name, ()):
                reasons.setdefault(rule.id, f"{file.name} ignores {name}")
            if name not in known:
                unmatched.setdefault(file, []).append(name)
    return Imported(reasons, unmatched)


def _squawk(directory: Path) -> tuple[Path, Sequence[str]]:
    file = _nearest(directory, ".squawk.toml")
    if file is None:
        raise NoIgnoreList("squawk", ".squawk.toml", directory)
    return file, _names(file, _toml(file).get("excluded_rules", []), "excluded_rules")


def _zdm(directory: Path) -> tuple[Path, Sequence[str]]:
    for folder in (directory, *directory.parents):
        own, shared = folder / "zero-downtime-migrations.toml", folder / "pyproject.toml"
        if own.is_file():
            return own, _names(own, _toml(own).get("ignore", []), "ignore")
        tools = _toml(shared).get("tool", {}) if shared.is_file() else {}
        table = tools.get("zdm") if isinstance(tools, dict) else None
        if isinstance(table, dict):
            return shared, _names(shared, table.get("ignore", []), "tool.zdm.ignore")
    raise NoIgnoreList("zdm", "zero-downtime-migrations.toml and no [tool.zdm] in pyproject.toml", directory)


def _strong_migrations(directory: Path) -> tuple[Path, Sequence[str]]:
    file = _nearest(directory, "config/initializers/strong_migrations.rb")
    if file is None:
        raise NoIgnoreList("strong_migrations", "config/initializers/strong_migrations.rb", directory)
    return file, _DISABLED.findall(_text(file))


def _eugene(directory: Path) -> tuple[Path, Sequence[str]]:
    # It has no configuration: what it ignores stands in comments and on its command line.
    return directory, ()


_READERS: Mapping[str, Callable[[Path], tuple[Path, Sequence[str]]]] = {
    "squawk": _squawk,
    "eugene": _eugene,
    "strong_migrations": _strong_migrations,
    "zdm": _zdm,
}


def _nearest(directory: Path, name: str) -> Path | None:
    found = (folder / name for folder in (directory, *directory.parents))
    return next((file for file in found if file.is_file()), None)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BrokenIgnoreList(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise BrokenIgnoreList(file, "it is not UTF-8") from error


def _toml(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise BrokenIgnoreList(file, f"it is not TOML: {error}") from error


def _names(file: Path, value: object, key: str) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BrokenIgnoreList(file, f"{key} must be a list of names")
    return value
