"""Keys that hold a moment among other bits: from a moment to the least key of it, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from uuid import UUID

from evolve.plugin_api import Value

Form = Literal["uuid", "text", "integer"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TWITTER = datetime(
    2010, 11, 4, 1, 42, 54, 657000, tzinfo=UTC
)  # what snowflakes count from unless said otherwise
_LAST = datetime.max.replace(tzinfo=UTC)
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's, in the order of its digits
_ULID = re.compile(f"[{_ALPHABET}]{{26}}")

NAMES = ("uuidv7", "ulid", "snowflake", "snowflake:2020-01-01", "epoch_s", "epoch_ms", "epoch_us")


@dataclass(frozen=True, slots=True)
class Codec:
    """Args:
    name: as the user writes it.
    form: how a key is written.
    tick: what the counter of moments counts.
    shift: bits below that counter.
    largest: the greatest number a key can be; the least is 0 for uuid and text, else -largest - 1.
    epoch: the moment that the counter calls 0.
    """

    name: str
    form: Form
    tick: timedelta
    shift: int
    largest: int
    epoch: datetime = _EPOCH

    def encode(self, moment: datetime) -> Value | None:
        """The least key of `moment`, or of the first tick after it; None where no key is that low or that high."""
        # Rounded up: a bound within a tick would call keys of the same tick earlier.
        ticks = -((self.epoch - moment) // self.tick)
        number = ticks << self.shift
        # The least key of all is no bound: whatever lies below the first interval starts at MINVALUE.
        if not self._least < number <= self.largest:
            return None
        match self.form:
            case "uuid":
                return UUID(int=number)
            case "text":
                return "".join(_ALPHABET[number >> place & 31] for place in range(125, -1, -5))
            case "integer":
                return number

    def decode(self, key: Value) -> datetime | None:
        """The moment in `key`; None where it is no such key, or its moment outside of the years 1 to 9999."""
        number = self._number(key)
        if number is None:
            return None
        try:
            return self.epoch + (number >> self.shift) * self.tick
        except OverflowError:
            return None

    def least_of_its_tick(self, key: Value) -> bool:
        moment = self.decode(key)
        return moment is not None and self.encode(moment) == key

    @property
    def first(self) -> datetime:
        """The earliest moment that a key can hold."""
        return self._moment(self._least)

    @property
    def last(self) -> datetime:
        return self._moment(self.largest)

    @property
    def described(self) -> str:
        return f"{self.name} of the years 1 to 9999"

    @property
    def _least(self) -> int:
        return -self.largest - 1 if self.form == "integer" else 0

    def _moment(self, number: int) -> datetime:
        try:
            return self.epoch + (number >> self.shift) * self.tick
        except OverflowError:
            return _LAST if number > 0 else datetime.min.replace(tzinfo=UTC)

    def _number(self, key: Value) -> int | None:
        match self.form, key:
            case "uuid", UUID():
                # Another version has other bits where the moment should be.
                return None if self.name == "uuidv7" and key.version != 7 and key.int & _RANDOM else key.int
            case "text", str():
                if not _ULID.fullmatch(key) or key[0] > "7":
                    return None
                number = 0
                for digit in key:
                    number = number << 5 | _ALPHABET.index(digit)
                return number
            case "integer", int():
                return key
            case _:
                return None


_RANDOM = (1 << 80) - 1  # all of a uuid but its moment; a bound has none of these bits
_LARGEST = {"integer": 2**31 - 1, "bigint": 2**63 - 1}
_MILLISECOND = timedelta(milliseconds=1)
_TICKS = {"epoch_s": timedelta(seconds=1), "epoch_ms": _MILLISECOND, "epoch_us": timedelta(microseconds=1)}


def read_codec(text: str, column_type: str) -> Codec | str:
    """The codec that `text` names for a column of this type, or what is wrong, as a sentence without a full stop."""
    name, _, start = text.partition(":")
    if name in ("uuidv7", "ulid") and not start:
        if column_type == "uuid":
            return Codec(name, "uuid", _MILLISECOND, 80, 2**128 - 1)
        if name == "ulid" and column_type in (
            "text",
            "character(26)",
            "character varying(26)",
            "character varying",
        ):
            return Codec(name, "text", _MILLISECOND, 80, 2**128 - 1)
        return f"{name} needs a column of type uuid{' or text' if name == 'ulid' else ''}, not {column_type}"
    if name == "snowflake":
        epoch = _TWITTER if not start else _day(start)
        if epoch is None:
            return f'"{start}" is not the day that the snowflakes count from, such as 2020-01-01'
        if column_type != "bigint":
            return f"snowflake needs a column of type bigint, not {column_type}"
        return Codec(text, "integer", _MILLISECOND, 22, _LARGEST["bigint"], epoch)
    if name in _TICKS and not start:
        if column_type not in _LARGEST:
            return f"{name} needs a column of type bigint or integer, not {column_type}"
        return Codec(name, "integer", _TICKS[name], 0, _LARGEST[column_type])
    return f'there is no codec "{text}"; known are {", ".join(NAMES)}'


def _day(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
