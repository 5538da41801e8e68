"""The hash partitioner keeps the published contract, and grows and shrinks with moduli that divide one another."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from evolve_partition_hash import plugin
from evolve_partition_hash.partitioner import MOST, Hash
from hypothesis import given
from hypothesis import strategies as st

from evolve.plugin_api import (
    Bound,
    Column,
    HashBound,
    NotAdopted,
    Partition,
    Problems,
    Profile,
    QualifiedName,
    TableInfo,
    first_overlap,
    overlap,
    tiles,
)
from evolve.testing.partitioner_contract import PartitionerContract

TABLE = TableInfo(
    QualifiedName("orders"),
    (
        Column("id", "bigint", not_null=True),
        Column("tenant", "uuid", not_null=True),
        Column("a, b", "text", not_null=True),
        Column("shape", "polygon"),
        Column("flags", "bit varying(8)"),
    ),
    ("id",),
)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def made(**options: object) -> Hash:
    answer = Hash.parse(options, TABLE)
    assert isinstance(answer, Hash), answer
    return answer


def named(*bounds: Bound) -> list[Partition]:
    return [Partition(made(key="id", modulus=4).name("orders", bound), bound) for bound in bounds]


class TestOneColumn(PartitionerContract):
    partitioner = made(key="id", modulus=4)
    profiles = (Profile(), Profile(low=1, high=900, rows=900))


class TestSeveralColumns(PartitionerContract):
    partitioner = made(key=["tenant", "id"], modulus="6")


def test_plugin_offers_the_method() -> None:
    assert [kind.kind for kind in plugin.partitioners] == ["hash"]


def test_a_column_may_hold_a_comma() -> None:
    assert (made(key="a, b", modulus=2).key, made(key="tenant, id", modulus=2).key) == (
        ("a, b",),
        ("tenant", "id"),
    )


def test_a_table_hashed_by_a_text_becomes_no_partition_as_it_stands() -> None:
    assert isinstance(made(key="a, b", modulus=2).adopt(Profile(), NOW), NotAdopted)


def test_one_partition_grows_and_the_others_stay() -> None:
    hashed = made(key="id", modulus=4)
    pieces = hashed.split(named(HashBound(4, 1))[0], Profile(), NOW, {})
    assert pieces == [HashBound(8, 1), HashBound(8, 5)]
    there = named(*pieces, HashBound(4, 0), HashBound(4, 2), HashBound(4, 3))
    assert not hashed.due("orders", there, NOW, Profile()).conflicts


def test_a_greater_modulus_waits_for_the_split() -> None:
    due = made(key="id", modulus=8).due("orders", named(HashBound(4, 0), HashBound(4, 1)), NOW, Profile())
    assert [partition.bound for partition in due.create] == [
        HashBound(8, remainder) for remainder in (2, 3, 6, 7)
    ]


def test_a_split_leads_to_the_modulus_of_the_scheme() -> None:
    pieces = made(key="id", modulus=12).split(named(HashBound(4, 3))[0], Profile(), NOW, {})
    assert pieces == [HashBound(12, 3), HashBound(12, 7), HashBound(12, 11)]


def test_parts_of_different_size_merge() -> None:
    hashed = made(key="id", modulus=4)
    assert hashed.merge(named(HashBound(8, 6), HashBound(4, 0), HashBound(8, 2))) == HashBound(2, 0)


@pytest.mark.parametrize(
    "bounds",
    [
        (HashBound(4, 0), HashBound(4, 1)),  # together half of the keys, but of no modulus
        (HashBound(8, 1), HashBound(8, 4)),
        (HashBound(4, 0), HashBound(8, 2)),
        (HashBound(4, 0), HashBound(4, 0)),
    ],
)
def test_what_makes_no_whole_is_not_merged(bounds: tuple[HashBound, ...]) -> None:
    assert isinstance(made(key="id", modulus=4).merge(named(*bounds)), Problems)


def test_a_modulus_that_divides_no_other_is_told_of() -> None:
    others = named(HashBound(4, 0), HashBound(4, 2))
    said = made(key="id", modulus=4).lint("orders", named(HashBound(6, 1))[0], others)
    assert "neither divides nor is a multiple of 4" in said[-1]


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"modulus": 4}, "key", "columns that fit: id, tenant, a, b"),
        ({"key": "nope", "modulus": 4}, "key", "no column"),
        ({"key": "shape", "modulus": 4}, "key", "cannot hash"),
        ({"key": "flags", "modulus": 4}, "key", "cannot hash"),
        ({"key": "id,id", "modulus": 4}, "key", "twice"),
        ({"key": "id"}, "modulus", "into how many"),
        ({"key": "id", "modulus": 1}, "modulus", "2 to 1024"),
        ({"key": "id", "modulus": MOST + 1}, "modulus", "2 to 1024"),
        ({"key": "id", "modulus": True}, "modulus", "2 to 1024"),
        ({"key": "id", "modulus": 4, "modules": 4}, "modules", 'did you mean "modulus"'),
    ],
)
def test_wrong_options_are_told_by_field(options: dict[str, object], field: str, said: str) -> None:
    answer = Hash.parse(options, TABLE)
    assert isinstance(answer, Problems)
    assert said in {problem.field: problem.message for problem in answer.found}[field]


@pytest.mark.parametrize("into", [0, 1, -2, "x", 2000])
def test_a_split_into_no_sensible_number_is_a_problem(into: object) -> None:
    assert isinstance(
        made(key="id", modulus=4).split(named(HashBound(4, 1))[0], Profile(), NOW, {"into": into}), Problems
    )


bounds_ = st.integers(1, 64).flatmap(lambda m: st.builds(HashBound, st.just(m), st.integers(0, m - 1)))


@given(one=bounds_, other=bounds_)
def test_overlap_is_that_of_the_remainders(one: HashBound, other: HashBound) -> None:
    shared = any(
        number % one.modulus == one.remainder and number % other.modulus == other.remainder
        for number in range(one.modulus * other.modulus)
    )
    assert overlap(one, other) == shared


@given(data=st.data(), modulus=st.integers(2, 12))
def test_any_growth_tiles_and_merges_back(data: st.DataObject, modulus: int) -> None:
    hashed = made(key="id", modulus=modulus)
    bounds = list(hashed.wanted(NOW, Profile()))
    for _ in range(data.draw(st.integers(1, 3))):
        chosen = data.draw(st.sampled_from(bounds))
        pieces = hashed.split(Partition("p", chosen), Profile(), NOW, {"into": data.draw(st.integers(2, 5))})
        assert not isinstance(pieces, Problems)
        bounds = [bound for bound in bounds if bound != chosen] + list(pieces)
        parts = [Partition(hashed.name("orders", bound), bound) for bound in bounds]

        assert tiles(chosen, pieces)
        assert tiles(HashBound(1, 0), bounds)
        assert first_overlap(parts) is None
        assert len({part.name for part in parts}) == len(parts)
        assert hashed.merge(parts) == HashBound(1, 0)
        due = hashed.due("orders", parts, NOW, Profile())
        assert not due.create
        assert not due.conflicts
