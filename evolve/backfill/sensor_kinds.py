"""The sensors there are: what each is called, what it counts, its limits unless somebody says otherwise."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from evolve.backfill.modes import Mode
from evolve.backfill.sensor import Limits, Unit
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """
    Args:
        since: the first mode that looks at it unasked; None: none does.
        every: seconds between two looks.
        takes: further settings, each a list of texts.
    """

    name: str
    unit: Unit
    limits: Limits = Limits()
    since: Mode | None = None
    every: float = 0.5
    takes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return self.name.replace("-", " ")


BUILT_IN: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        # Looked at every few batches, so that a limit is passed by no more than those.
        Kind("replica-lag", Unit.BYTES, Limits(16e6, 64e6), Mode.FAST, 0.05, ("standbys", "ignore")),
        Kind("replica-delay", Unit.SECONDS, Limits(1, 5), Mode.FAST, 0.5, ("standbys", "ignore")),
        Kind("slots", Unit.BYTES, Limits(1e9), Mode.FAST, 1.0, ("ignore",)),
        Kind("archiver", Unit.NUMBER, Limits(16, 42), Mode.FAST, 1.0),
        Kind("waiters", Unit.SECONDS, Limits(0.1, 0.5), Mode.FAST, 0.2),
        Kind("wraparound", Unit.NUMBER, Limits(1.2e9, 1.5e9), Mode.FAST, 30.0),
        Kind("old-snapshot", Unit.SECONDS, Limits(60, 900), Mode.POLITE, 2.0),
        Kind("vacuum", Unit.SHARE, Limits(0.2, 0.4), Mode.GENTLE, 2.0),
        Kind("commit-latency", Unit.NUMBER, Limits(2, 5), Mode.GENTLE, 1.0),
        # What is much of these depends on the machine, which the server does not describe.
        Kind("wal-rate", Unit.RATE, every=1.0),
        Kind("sessions", Unit.NUMBER, every=0.5),
        Kind("disk", Unit.BYTES, every=30.0),
    )
}

# Sensors of one's own, by the setting that makes them one; what else each takes as a text.
OWN: Mapping[str, tuple[str, ...]] = {
    "sql": (),
    "http": (),
    "prometheus": ("query",),
    "python": (),
    "file": (),
}
_OWN_EVERY = {"sql": 2.0, "http": 5.0, "prometheus": 5.0, "python": 2.0, "file": 0.5}
_COMMON = ("soft", "hard", "critical", "unknown", "every", "off")
_OF_OWN = ("unit", "worse")

_NUMBER = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*(k|M|G|T)?(i?)(B?)(/s)?\s*", re.ASCII)
_TIME = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|min|h|d)?\s*", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_POWER = {None: 0, "k": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class Choice:
    """A sensor that a run looks at.

    Args:
        name: its own.
        kind: a built-in one, or one of `OWN`.
        source: the statement, URL, function or file of one's own; empty for a built-in one.
        asked: somebody named it; else the mode brought it, and it may be done without where it cannot see.
        unknown_holds: whether the run is held while it is unknown.
        takes: further settings.
    """

    name: str
    kind: str
    unit: Unit
    limits: Limits
    every: float
    source: str = ""
    asked: bool = False
    unknown_holds: bool = True
    takes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return BUILT_IN[self.kind].title if self.kind in BUILT_IN else self.name


class Wrong(Exception):
    """A setting of a sensor is wrong.

    Args:
        key: the setting; empty where it is the sensor itself.
        expected: what it must be, to stand behind "must be".
    """

    def __init__(self, key: str, expected: str) -> None:
        super().__init__(f"{key} must be {expected}")
        self.key = key
        self.expected = expected


class Unknown(Exception):
    """There is no such sensor, or no such setting; `known` are those there are.

    Args:
        key: the setting; empty where it is the sensor itself.
    """

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(key)
        self.key = key
        self.known = tuple(known)


def nearest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.5)), None)


def choose(mode: Mode, settings: Mapping[str, Mapping[str, object]]) -> tuple[Choice, ...]:
    """The sensors of a run: those of its mode, and those that the settings name.

    Raises:
        Wrong, Unknown: as `read`.
    """
    found = [
        Choice(kind.name, kind.name, kind.unit, kind.limits, kind.every)
        for kind in BUILT_IN.values()
        if mode.looks_at(kind.since) and kind.name not in settings
    ]
    for name, values in settings.items():
        choice = read(name, values)
        if choice is not None:
            found.append(choice)
    return tuple(found)


def read(name: str, values: Mapping[str, object]) -> Choice | None:
    """The sensor that a table of settings describes; None where it is off.

    Raises:
        Unknown: neither a built-in sensor nor a source of one's own, or a setting that is none.
        Wrong: a value that cannot be.
    """
    kind = BUILT_IN.get(name)
    sources = [key for key in OWN if key in values]
    if kind is None and not sources:
        raise Unknown("", tuple(BUILT_IN))
    if kind is not None:
        own, allowed = "", (*_COMMON, *kind.takes)
    else:
        own = sources[0]
        allowed = (*_COMMON, *_OF_OWN, own, *OWN[own])
    for key in values:
        if key not in allowed:
            raise Unknown(key, allowed)
    if _flag(values, "off"):
        return None
    if kind is None:
        unit = _unit(values)
        base = Limits(low=_word(values, "worse", ("higher", "lower"), "higher") == "lower")
    else:
        unit, base = kind.unit, kind.limits
    every = kind.every if kind is not None else _OWN_EVERY[own]
    choice = Choice(
        name=name,
        kind=own or name,
        unit=unit,
        limits=limits_of(unit, values, base),
        every=_seconds(values, "every", every),
        source=_text(values, own) if own else "",
        asked=True,
        unknown_holds=_word(values, "unknown", ("hold", "go"), "hold") == "hold",
        takes={
            key: (_text(values, key),) if own else _texts(values, key)
            for key in (OWN[own] if own else kind.takes if kind is not None else ())
            if own or key in values
        },
    )
    if own in ("http", "prometheus") and not re.match(r"https?://[^/\s]+", choice.source):
        raise Wrong(own, "an address that begins with http:// or https://")
    if own in ("", "prometheus") and choice.limits == Limits(low=choice.limits.low):
        raise Wrong("hard", f"a limit, such as {_example(unit)}: what is much of it nobody else knows")
    return choice


def limits_of(unit: Unit, values: Mapping[str, object], base: Limits) -> Limits:
    """`base` with what the settings say; where they give only the hard limit, the soft one keeps its share of it.

    Raises:
        Wrong
    """
    given = {key: _amount(unit, values, key) for key in ("soft", "hard", "critical") if key in values}
    soft, hard = given.get("soft", base.soft), given.get("hard", base.hard)
    if "soft" not in given and "hard" in given and base.soft is not None and hard is not None:
        soft = hard * base.soft / base.hard if base.hard else min(hard, base.soft)
    limits = Limits(soft, hard, given.get("critical", base.critical), base.low)
    if not limits.ordered:
        order = "soft above hard above critical" if limits.low else "soft below hard below critical"
        raise Wrong(next(iter(given), "hard"), f"in order: {order}")
    return limits


def with_hard(limits: Limits, hard: float) -> Limits:
    """The same with another hard limit: the soft one keeps its share of it, a critical one that it passes is gone."""
    critical = limits.critical if limits.critical is not None and limits.critical >= hard else None
    return limits_of(Unit.NUMBER, {"hard": hard}, replace(limits, critical=critical))


def amount(unit: Unit, value: object) -> float | None:
    """A number in `unit`, from a number or a text such as "64MB", "90s", "40%"; None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) and value >= 0 else None
    if not isinstance(value, str):
        return None
    match unit:
        case Unit.SECONDS:
            time = _TIME.fullmatch(value)
            return None if time is None else float(time[1]) * _SECONDS[time[2]]
        case Unit.SHARE:
            number = value.strip().removesuffix("%").strip()
            found = amount(Unit.NUMBER, number)
            return None if found is None else found / 100 if "%" in value else found
        case _:
            size = _NUMBER.fullmatch(value)
            if size is None or (size[5] and unit is not Unit.RATE) or (size[4] and unit is Unit.NUMBER):
                return None
            return float(size[1]) * (1024.0 if size[3] else 1000.0) ** _POWER[size[2]]


def _example(unit: Unit) -> str:
    match unit:
        case Unit.BYTES:
            return '"64MB"'
        case Unit.RATE:
            return '"20MB"'
        case Unit.SECONDS:
            return '"5s"'
        case Unit.SHARE:
            return "0.4"
        case Unit.NUMBER:
            return "10"


def _amount(unit: Unit, values: Mapping[str, object], key: str) -> float:
    found = amount(unit, values[key])
    if found is None:
        raise Wrong(key, f"a limit such as {_example(unit)}")
    return found


def _unit(values: Mapping[str, object]) -> Unit:
    names = {
        "bytes": Unit.BYTES,
        "bytes/s": Unit.RATE,
        "seconds": Unit.SECONDS,
        "share": Unit.SHARE,
        "number": Unit.NUMBER,
    }
    return names[_word(values, "unit", tuple(names), "number")]


def _word(values: Mapping[str, object], key: str, words: tuple[str, ...], default: str) -> str:
    value = values.get(key, default)
    if value not in words:
        raise Wrong(key, f"one of {', '.join(words)}")
    return str(value)


def _flag(values: Mapping[str, object], key: str) -> bool:
    value = values.get(key, False)
    if not isinstance(value, bool):
        raise Wrong(key, "true or false")
    return value


def _text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        raise Wrong(key, "a text")
    return value


def _texts(values: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = values[key]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Wrong(key, "a list of names")
    return tuple(value)


def _seconds(values: Mapping[str, object], key: str, default: float) -> float:
    found = amount(Unit.SECONDS, values.get(key, default))
    if found is None or not 0.01 <= found <= 3_600:
        raise Wrong(key, 'a time from "10ms" to "1h"')
    return found
