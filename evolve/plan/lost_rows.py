"""Rows that lose something for good: their old shape holds what the new one does not tell, and purge drops it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TypeVar

from evolve.counted import counted
from evolve.plan import sync
from evolve.plan.change import Change
from evolve.plan.gate_sql import LOST
from evolve.plan.parameters import option
from evolve.plan.sync import Side
from evolve.sql.names import quote
from evolve.sql.types import base

C = TypeVar("C", bound=Change)

ACCEPT_LOST = option(
    "accept_lost",
    "number",
    "Rows that may lose what the new shape cannot tell of them; purge is shut while there are more.",
    metavar="ROWS",
)

# Types without an equality of their own.
_NO_EQUALITY = frozenset({"json", "xml", "point", "polygon"})


def lost(old: Sequence[Side], new: Sequence[Side]) -> str:
    """True of a row whose old shape is not what is made of the new one, as it is stored now."""
    return " OR ".join(
        unlike(side, f"CAST({side.fill or quote(new[0].column)} AS {side.type})", quote(side.column))
        for side in old
    )


def unlike(side: Side, one: str, other: str) -> str:
    """True where two values of the type of `side` are not equal, as its type has it: 1.0 is 1, and null is null."""
    exact = side.exact or base(side.type) not in _NO_EQUALITY
    return sync.differs(one, other, exact=exact)


def accepting(change: C, rows: int) -> C:
    """`change` once somebody has accepted that so many rows lose something; never fewer than before."""
    name = ACCEPT_LOST.name
    if name not in {field.name for field in fields(change)}:
        return change
    return replace(change, **{name: max(rows, getattr(change, name))})


# -- the word -----------------------------------------------------------------------------------------------
# It names the number, so that ten that were accepted do not cover an eleventh. Revisions look for it, see gate_sql.


def word(rows: int) -> str:
    """What is said with `evolve advance CHANGE --confirm` to accept that so many rows lose something."""
    return f"{LOST}{rows}"


def accepted(spoken: str) -> int | None:
    """The number in such a word; None where it is another word."""
    found = re.fullmatch(rf"{LOST}([0-9]{{1,18}})", spoken)
    return int(found[1]) if found else None


# -- in a plan ----------------------------------------------------------------------------------------------
def kept_until_purge(what: str, accept_lost: int) -> str:
    """The note of a plan whose purge counts such rows."""
    many = (
        f"more than {counted(accept_lost, 'row')} that {ACCEPT_LOST.flag} accepts"
        if accept_lost
        else "any such row"
    )
    return f"{what} is kept until purge, and gone with it: purge is shut while there is {many}."


def advice(accept_lost: int) -> Callable[[int], str]:
    """What the note on such rows says of what can be done about them, by how many there are."""

    def say(found: int) -> str:
        if found <= accept_lost:
            return f"{ACCEPT_LOST.flag} {accept_lost} accepts that they lose it at purge"
        return (
            f"Purge is shut until they are mended or accepted, now with {ACCEPT_LOST.flag} {found} or then by a word "
            "that names their number"
        )

    return say
