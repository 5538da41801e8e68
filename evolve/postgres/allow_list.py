"""Whose sessions may be ended when they keep a revision from its lock: what a person allows, and who is never ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from evolve.errors import Misuse

State = Literal["any", "idle-in-transaction"]

_KEYS = ("older-than", "application", "user", "state")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|h)\Z")
_LONGEST = 1e9  # seconds; no transaction is so old
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


class BadAllowance(Misuse):
    """What was given to --terminate-blockers, or to `terminate_blockers`, says nothing that can be acted on."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f'"{text}" does not say which sessions may be ended: {reason}',
            why="a session that is ended by mistake is a request that fails",
            fix='name them such as "older-than=30s,application=report*" or "user=etl,state=idle-in-transaction"',
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """Sessions of this application *and* this user *and* this age *and* this state may be ended.

    Args:
        application, user: patterns with * and ?; upper and lower case differ.
        older_than: seconds since the session's transaction began.
    """

    application: str = "*"
    user: str = "*"
    older_than: float = 0.0
    state: State = "any"

    @property
    def application_regex(self) -> str:
        return _regex(self.application)

    @property
    def user_regex(self) -> str:
        return _regex(self.user)


def read_allowances(texts: Iterable[str]) -> tuple[Allowance, ...]:
    """
    Raises:
        BadAllowance: one has a key or value that is none, or names neither an application nor a user.
    """
    return tuple(_read(text) for text in texts)


def _read(text: str) -> Allowance:
    found: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise BadAllowance(text, f'"{part.strip()}" is not KEY=VALUE')
        if key not in _KEYS:
            raise BadAllowance(text, f'"{key}" is none of {", ".join(_KEYS)}')
        if key in found:
            raise BadAllowance(text, f'"{key}" is said twice')
        found[key] = value
    if "application" not in found and "user" not in found:
        raise BadAllowance(text, "name an application or a user; application=* is everybody")
    return Allowance(
        found.get("application", "*"),
        found.get("user", "*"),
        _seconds(text, found["older-than"]) if "older-than" in found else 0.0,
        _state(text, found.get("state", "any")),
    )


def _seconds(text: str, value: str) -> float:
    read = _DURATION.match(value)
    seconds = float(read[1]) * _SECONDS[read[2]] if read is not None else _LONGEST
    if seconds >= _LONGEST:
        raise BadAllowance(text, f'"{value}" is no time such as 500ms, 30s, 5min or 2h')
    return seconds


def _state(text: str, value: str) -> State:
    for choice in get_args(State):
        if value == choice:
            found: State = choice
            return found
    raise BadAllowance(text, f'"{value}" is none of {", ".join(get_args(State))}')


def _regex(pattern: str) -> str:
    """A pattern with * and ? as a regular expression of PostgreSQL, which matches the whole text."""
    escaped = re.sub(r"[^\w*?]", lambda found: "\\" + found[0], pattern)
    return f"^{escaped.replace('*', '.*').replace('?', '.')}$"
