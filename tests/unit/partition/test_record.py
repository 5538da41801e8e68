"""Plans survive the journal: what is decoded is what was encoded, and what is no plan is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import pytest

from evolve.partition.record import NotARecord, decode, encode
from evolve.partition.steps import BuildIndex, Copy, Statements, Step
from evolve.sql.locks import LockMode
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class Box:
    word: Literal["a", "b"]
    steps: tuple[Step, ...]
    size: int | None = None


INDEX = BuildIndex(
    "i", "t", "w", "s", "x", "public.t", Statement("CREATE …", LockMode.SHARE, "y", transactional=False)
)
BOX = Box(
    "a",
    (
        Statements("n", "ü", "w", (Statement("SELECT '1'", None, "z"),), unchanged="all", empty=("a.b",)),
        INDEX,
        Copy("c", "t", "w", "a", "b", ("id", "x"), ("id",), ("bigint",), ("id",)),
    ),
    7,
)


def test_what_comes_back_from_json_is_what_went_in() -> None:
    assert decode(Box, json.loads(json.dumps(encode(BOX)))) == BOX


@pytest.mark.parametrize(
    "change",
    [
        {"word": "c"},
        {"size": "7"},
        {"size": True},
        {"steps": [{"is": "Drop"}]},
        {"steps": "none"},
        {"is": "Crate"},
    ],
)
def test_another_shape_is_refused(change: dict[str, object]) -> None:
    written = encode(BOX)
    assert isinstance(written, dict)
    with pytest.raises(NotARecord):
        decode(Box, {**written, **change})


def test_a_missing_field_is_refused() -> None:
    written = encode(BOX)
    assert isinstance(written, dict)
    del written["word"]
    with pytest.raises(NotARecord):
        decode(Box, written)
