from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from evolve.values import dataclass


def shapes(dataclass: Any) -> tuple[Any, ...]:  # either of two decorators
    """The same classes, made by `dataclass`."""

    @dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: tuple[int, ...] = ()
        made: list[int] = dataclasses.field(default_factory=list, compare=False)
        hidden: str = dataclasses.field(default="h", repr=False)
        fixed: int = dataclasses.field(default=3, init=False)
        named: int = dataclasses.field(default=1, kw_only=True)

    @dataclass(frozen=True, slots=True)
    class Nothing:
        """It has a docstring."""

    @dataclass(frozen=True, slots=True)
    class One:
        of: int

    @dataclass(frozen=True, slots=True)
    class Counted:
        of: int

        def __post_init__(self) -> None:
            if self.of < 0:
                raise ValueError(self.of)

    return Point, Nothing, One, Counted


OURS, THEIRS = shapes(dataclass), shapes(dataclasses.dataclass)

Use = Callable[[Any, Any, Any, Any], object]
SAME: dict[str, Use] = {
    "repr": lambda point, nothing, one, counted: [
        repr(each) for each in (point(1, (2,), named=4), nothing(), one(3))
    ],
    "hash": lambda point, nothing, one, counted: [hash(point(1, (2,), [9])), hash(nothing()), hash(one(3))],
    "equal": lambda point, nothing, one, counted: [
        point(1, made=[1]) == point(1, made=[2]),
        point(1) == point(2),
        point(1, hidden="a") == point(1),
        nothing() == nothing(),
        one(1) == counted(1),
        one(1) == 1,
    ],
    "fields": lambda *all_: [[f.name for f in dataclasses.fields(each)] for each in all_],
    "is a dataclass": lambda *all_: [dataclasses.is_dataclass(each) for each in all_],
    "patterns": lambda *all_: [each.__match_args__ for each in all_],
    "slots": lambda *all_: [each.__slots__ for each in all_],
    "asdict": lambda point, nothing, one, counted: dataclasses.asdict(point(1, (2,))),
    "replace": lambda point, nothing, one, counted: repr(dataclasses.replace(point(1), x=2, named=7)),
    "parameters": lambda *all_: [repr(each.__dataclass_params__) for each in all_],
    "a list of its own": lambda point, nothing, one, counted: point(1).made is point(1).made,
    "deep copy": lambda point, nothing, one, counted: repr(copy.deepcopy(point(1, (2,), [3]))),
}


@pytest.mark.parametrize("use", SAME.values(), ids=SAME)
def test_a_value_is_what_the_standard_library_makes(use: Use) -> None:
    assert use(*OURS) == use(*THEIRS)


WRONG: dict[str, Use] = {
    "too few": lambda point, nothing, one, counted: point(),
    "too many": lambda point, nothing, one, counted: one(1, 2),
    "unknown": lambda point, nothing, one, counted: one(of=1, other=2),
    "set": lambda point, nothing, one, counted: setattr(one(1), "of", 2),
    "delete": lambda point, nothing, one, counted: delattr(one(1), "of"),
    "not to be given": lambda point, nothing, one, counted: point(1, fixed=2),
    "refused": lambda point, nothing, one, counted: counted(-1),
    "replaced wrongly": lambda point, nothing, one, counted: dataclasses.replace(one(1), other=2),
}


@pytest.mark.parametrize("use", WRONG.values(), ids=WRONG)
def test_a_value_refuses_as_the_standard_library_does(use: Use) -> None:
    with pytest.raises(Exception) as theirs:  # whatever it is
        use(*THEIRS)
    with pytest.raises(type(theirs.value)) as ours:
        use(*OURS)
    assert str(ours.value) == str(theirs.value)


@dataclass(frozen=True, slots=True)
class Kept:
    name: str
    parts: tuple[int, ...] = ()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_value_is_pickled_whole(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(Kept("a", (1, 2)), protocol)) == Kept("a", (1, 2))  # noqa: S301


def test_what_is_less_common_is_left_to_the_standard_library() -> None:
    @dataclass(frozen=True, slots=True, order=True)
    class Version:
        major: int

    @dataclass(frozen=True, slots=True)
    class Loud:
        word: str

        def __repr__(self) -> str:
            return self.word.upper()

    @dataclass(frozen=True, slots=True)
    class Longer(Kept):
        more: int = 1

    said = (Version(1) < Version(2), repr(Loud("a")), Longer("a", more=2) == Longer("a", (), 2))
    assert said == (True, "A", True)
