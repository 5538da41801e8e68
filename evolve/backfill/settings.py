"""The pace of a run as an operator says it: names, units, limits; read from words, told back, kept as JSON."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields

from evolve.errors import Misuse
from evolve.values import dataclass

OFF = math.inf  # no limit
_NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([^\d\s.]*)", re.ASCII)
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 30 * 86400.0
_MILLISECONDS = {"ms": 1.0, "s": 1000.0}
_BYTES = {
    "b": 1.0,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "kib": 2.0**10,
    "mib": 2.0**20,
    "gib": 2.0**30,
}
_COUNT = {"": 1.0, "k": 1e3, "m": 1e6}
_SHARE = {"": 1.0, "%": 0.01}


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of a run, of which each may be left to what lies below: None. `OFF` where there is to be no limit.

    Args:
        target: milliseconds one commit should take.
        duty: share of the time it works, above 0 up to 1.
        rows: written per second at most.
        wal: bytes of WAL written per second at most.
        batch: rows of a batch at most.
        lag: bytes of WAL that a standby may be behind.
    """

    target: float | None = None
    duty: float | None = None
    rows: float | None = None
    wal: float | None = None
    batch: float | None = None
    lag: float | None = None

    def over(self, below: Settings) -> Settings:
        """What is left open here is as it is there."""
        return Settings(**{**below.said, **self.said})

    def without(self, names: Iterable[str]) -> Settings:
        """Leave those open."""
        gone = frozenset(names)
        return Settings(**{name: value for name, value in self.said.items() if name not in gone})

    @property
    def said(self) -> dict[str, float]:
        """What is not left open, by name."""
        found = {each.name: _value(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def words(self) -> tuple[str, ...]:
        """As `parse` reads them, each with its unit: target=30ms."""
        return tuple(f"{name}={_KINDS[name].spelled(value)}" for name, value in self.said.items())

    def __str__(self) -> str:
        return " ".join(self.words)

    def to_json(self) -> dict[str, float | str]:
        return {name: "off" if value == OFF else value for name, value in self.said.items()}

    @staticmethod
    def from_json(stored: Mapping[str, object]) -> Settings:
        """What a later evolve wrote beside these names is not read."""
        return Settings(
            **{
                name: OFF if value == "off" else float(str(value))
                for name, value in stored.items()
                if name in _KINDS and value is not None
            }
        )


OPEN = Settings()
NAMES = frozenset(each.name for each in fields(Settings))


class UnknownSetting(Misuse):
    def __init__(self, name: str) -> None:
        near = difflib.get_close_matches(name.lower(), [*_KINDS], n=1)
        super().__init__(
            f'there is no setting "{name}"',
            why=f"a run has {', '.join(_KINDS)}",
            fix=f'did you mean "{near[0]}"?'
            if near
            else f"name one of them, such as {_KINDS['target'].example}",
        )


class BadSetting(Misuse):
    def __init__(self, name: str, text: str) -> None:
        kind = _KINDS[name]
        super().__init__(f'{name}="{text}" does not work', fix=f"give {kind.expected}: {kind.example}")


class NoValue(Misuse):
    def __init__(self, word: str) -> None:
        super().__init__(
            f'"{word}" says no value', fix=f"give NAME=VALUE, such as {_KINDS['target'].example}"
        )


class SaidTwice(Misuse):
    def __init__(self, name: str) -> None:
        super().__init__(f'"{name}" is said twice', fix="say it once")


def parse(words: Iterable[str]) -> Settings:
    """Settings as `target=30ms duty=0.3 rows=5000 wal=10MB`; case and a trailing "/s" of rates do not matter.

    Raises:
        UnknownSetting: naming the nearest.
        NoValue, BadSetting, SaidTwice
    """
    found: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise NoValue(word)
        name = known(name.strip())
        if name in found:
            raise SaidTwice(name)
        found[name] = _KINDS[name].read(name, text.strip())
    return Settings(**found)


class BadDuration(Misuse):
    def __init__(self, text: str) -> None:
        super().__init__(
            f'"{text}" is no duration',
            fix="give a number with its unit, s, min, h or d, such as 10min, up to 30d",
        )


def duration(text: str) -> float:
    """Seconds of 90s, 10min, 2h or 1d.

    Raises:
        BadDuration: also where it is 0, or longer than 30 days.
    """
    found = _NUMBER.fullmatch(text.strip().lower())
    unit = None if found is None else _SECONDS.get(found[2])
    if found is None or unit is None or not 0 < float(found[1]) * unit <= _LONGEST:
        raise BadDuration(text)
    return float(found[1]) * unit


def known(name: str) -> str:
    """The name as `Settings` has it.

    Raises:
        UnknownSetting: naming the nearest.
    """
    if name.lower() not in _KINDS:
        raise UnknownSetting(name)
    return name.lower()


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one setting is written.

    Args:
        units: what a number stands for with each; without a unit only where "" is one.
        least, most: that may be set.
        spelled: the value, so that it is read back as the same.
    """

    units: Mapping[str, float]
    least: float
    most: float
    expected: str
    example: str
    spelled: Callable[[float], str]
    may_be_off: bool = False
    rate: bool = False
    whole: bool = False

    def read(self, name: str, text: str) -> float:
        plain = text.lower()
        if self.may_be_off and plain in ("off", "none"):
            return OFF
        found = _NUMBER.fullmatch(plain.removesuffix("/s") if self.rate else plain)
        unit = None if found is None else self.units.get(found[2])
        if found is None or unit is None:
            raise BadSetting(name, text)
        value = round(float(found[1]) * unit, 9)
        if not self.least <= value <= self.most or (self.whole and value != int(value)):
            raise BadSetting(name, text)
        return value


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _size(value: float) -> str:
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= bytes_:
            return f"{_number(value / bytes_)}{unit}"
    return f"{_number(value)}B"


def _or_off(spelled: Callable[[float], str]) -> Callable[[float], str]:
    return lambda value: "off" if value == OFF else spelled(value)


_KINDS = {
    "target": _Kind(
        _MILLISECONDS,
        *(1, 5000),
        "a time with its unit, 1 ms to 5 s",
        "target=30ms",
        lambda value: f"{_number(value)}ms",
    ),
    "duty": _Kind(_SHARE, 0.001, 1, "a share of the time, 0.001 to 1, or percent", "duty=0.3", _number),
    "rows": _Kind(
        _COUNT,
        *(0.001, 1e12),
        "rows per second above 0, or off",
        "rows=5000",
        _or_off(lambda value: f"{_number(value)}/s"),
        may_be_off=True,
        rate=True,
    ),
    "wal": _Kind(
        _BYTES,
        *(1e3, 1e15),
        "WAL per second with its unit, at least 1 kB, or off",
        "wal=10MB",
        _or_off(lambda value: f"{_size(value)}/s"),
        may_be_off=True,
        rate=True,
    ),
    "batch": _Kind(_COUNT, 1, 1e9, "a whole number of rows, at least 1", "batch=2000", _number, whole=True),
    "lag": _Kind(
        _BYTES,
        *(1, 1e15),
        "the WAL a standby may be behind with its unit, or off",
        "lag=64MB",
        _or_off(_size),
        may_be_off=True,
    ),
}

# name → (what is expected, an example), for who asks a person.
EXPECTED = {name: (kind.expected, kind.example.partition("=")[2]) for name, kind in _KINDS.items()}


def _value(settings: Settings, name: str) -> float | None:
    value: float | None = getattr(settings, name)
    return value
