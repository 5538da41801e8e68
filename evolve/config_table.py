"""One table of a settings file: values of the type that is asked for, or an error with file, line and key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Literal, get_args

from evolve.errors import Misuse
from evolve.redaction import without_passwords
from evolve.values import dataclass

_UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,6})\s*(s|min|h|d)")
_LONGEST = 999_999 * 86_400  # seconds
_MOST = 2**31 - 1  # what a whole number of PostgreSQL's settings holds
_SHOWN = 200  # characters of a value
FailOn = Literal["error", "warning", "info"]
Required = Literal["BACKWARD", "FORWARD", "FULL"]


class UnknownKey(Misuse):
    def __init__(self, file: Path, key: str, valid: Iterable[str]) -> None:
        names = sorted(valid)
        section, _, last = key.rpartition(".")
        near = difflib.get_close_matches(last, names, n=1, cutoff=0.5)
        nearest = f"{section}.{near[0]}" if near and section else "".join(near)
        fix = f'did you mean "{nearest}"?' if near else f"valid here: {', '.join(names)}"
        if key == "tool":
            fix = f"write [lint], not [tool.evolve.lint], in {file.name}"
        super().__init__(
            f'{place_of(file, key)}: "{key}" is not a setting',
            why="a setting that is misspelt would be silently without effect",
            fix=fix,
        )


class BadValue(Misuse):
    def __init__(self, file: Path, key: str, value: object, expected: str) -> None:
        super().__init__(
            f'{place_of(file, key)}: "{key}" is {_show(value)}, but must be {expected}',
            fix=f"correct {key} in {file}",
        )


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file, with its dotted name for messages."""

    file: Path
    name: str
    values: dict[str, object]

    @staticmethod
    def of(file: Path, name: str, value: object) -> Table:
        if not isinstance(value, dict):
            raise BadValue(file, name, value, "a table")
        return Table(file, name, value)

    def allow(self, valid: Iterable[str]) -> None:
        names = list(valid)
        for key in self.values:
            if key not in names:
                raise UnknownKey(self.file, self._full(key), names)

    def table(self, key: str) -> Table:
        return Table.of(self.file, self._full(key), self.values.get(key, {}))

    def text(self, key: str, default: str | None) -> str | None:
        value = self.values.get(key, default)
        if value is not None and not isinstance(value, str):
            raise self.bad(key, "a text", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.bad(key, "a list of texts", value)
        return tuple(value)

    def tables(self, key: str) -> tuple[Table, ...]:
        """Those of an array of tables; their names count from 1."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.bad(key, f"an array of tables: [[{self._full(key)}]]", value)
        return tuple(
            Table.of(self.file, f"{self._full(key)}[{number}]", each) for number, each in enumerate(value, 1)
        )

    def day(self, key: str) -> date | None:
        value = self.values.get(key)
        if isinstance(value, str):
            try:
                value = date.fromisoformat(value)
            except ValueError:
                raise self.bad(key, "a day, such as 2026-12-31", value) from None
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        raise self.bad(key, "a day, such as 2026-12-31", value)

    def globs(self, key: str) -> tuple[str, ...]:
        """Patterns over paths, without "./" before them."""
        found = tuple(pattern.removeprefix("./") for pattern in self.texts(key))
        for pattern in found:
            if not pattern.strip():
                raise self.bad(key, "a list of globs, none of them empty", pattern)
            if "\\" in pattern:
                raise self.bad(key, "a list of globs with / between folders", pattern)
            if "[" in pattern and "]" not in pattern[pattern.index("[") + 1 :]:
                raise self.bad(key, "a list of globs, with a ] for each [", pattern)
        return found

    def fail_on(self, key: str, default: FailOn) -> FailOn:
        value = self.values.get(key, default)
        for choice in get_args(FailOn):
            if value == choice:
                found: FailOn = choice
                return found
        raise self.bad(key, f"one of {', '.join(get_args(FailOn))}", value)

    def required(self, key: str) -> Required | None:
        value = self.values.get(key)
        for choice in get_args(Required):
            if value == choice:
                found: Required = choice
                return found
        if value is None:
            return None
        raise self.bad(key, f"one of {', '.join(get_args(Required))}", value)

    def whole(self, key: str, default: int, least: int = 0, most: int | None = None) -> int:
        value = self.values.get(key, default)
        # TOML's booleans are Python's, and those count as whole numbers.
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= (most or _MOST):
            return value
        high = isinstance(value, int) and value > _MOST
        bounds = f"from {least} to {most or _MOST}" if most or high else f"of at least {least}"
        raise self.bad(key, f"a whole number {bounds}", value)

    def duration(self, key: str, default: float) -> float:
        """Seconds, of a number of them or of a text such as "36h"."""
        value = self.values.get(key, default)
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is not None:
            return float(found[1]) * _UNITS[found[2]]
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST:
            return float(value)
        raise self.bad(key, 'a number of seconds, or a duration such as "90s", "15min", "36h" or "7d"', value)

    def seconds(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST:
            return float(value)
        raise self.bad(key, "a number of seconds", value)

    def bad(self, key: str, expected: str, value: object) -> BadValue:
        return BadValue(self.file, self._full(key), value, expected)

    def _full(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


def place_of(file: Path, key: str, word: str = "") -> str:
    """`file` with the line that `key` is on, where that can be told, for messages."""
    line = line_of(file, key, word)
    return f"{file}:{line}" if line else str(file)


def line_of(file: Path, key: str, word: str = "") -> int:
    """The line, counted from 1, that sets `key`, such as "lint.allow[2].until", or that its table begins on.

    It is 0 where neither can be told.

    Args:
        word: stands in its value; the line that holds it is told rather than the first.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return 0
    path = _path(key)
    if file.name == "pyproject.toml" and path[0] != "tool":
        path = ["tool", "evolve", *path]
    name = next(part for part in reversed(path) if isinstance(part, str))
    # The parser tells no lines: what stands before the line must be a document without the key.
    for before, line in enumerate(lines):
        if name not in line or _holds(lines[:before], path) is not False:
            continue
        for end in range(before + 1, len(lines) + 1):
            holds = _holds(lines[:end], path)
            if holds:
                span = lines[before:end]
                return before + 1 + next((n for n, text in enumerate(span) if word and word in text), 0)
            if holds is False:
                break
    return 0 if len(path) == 1 else line_of(file, key.rpartition(".")[0])


def _path(key: str) -> list[str | int]:
    """The steps that lead to `key`: "lint.allow[2]" is the item 1 of "allow" in "lint"."""
    steps: list[str | int] = []
    for part in key.split("."):
        name, _, number = part.partition("[")
        steps.append(name)
        if number.rstrip("]").isdigit():
            steps.append(int(number.rstrip("]")) - 1)
    return steps


def _holds(lines: list[str], path: list[str | int]) -> bool | None:
    """Whether `lines` are a document that holds `path`; None where they are no document."""
    try:
        value: object = tomllib.loads("\n".join(lines))
    except (ValueError, RecursionError):
        return None
    for step in path:
        match value:
            case dict() if isinstance(step, str) and step in value:
                value = value[step]
            case list() if isinstance(step, int) and step < len(value):
                value = value[step]
            case _:
                return False
    return True


def _show(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    # What stands in the wrong place may be a URL.
    text = without_passwords(str(value))
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return f'"{text}"' if isinstance(value, str) else text
