"""The list partitioner keeps the published contract, for sets of values of every kind and for a moving window."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from evolve_partition_list import plugin
from evolve_partition_list.partitioner import List
from hypothesis import given
from hypothesis import strategies as st

from evolve.plugin_api import (
    MAX_BYTES,
    Column,
    DefaultBound,
    ListBound,
    NoPartitionFor,
    NotAdopted,
    Partition,
    Problems,
    Profile,
    QualifiedName,
    TableInfo,
    first_overlap,
    tiles,
)
from evolve.testing.partitioner_contract import PartitionerContract

TYPES = {
    "country": "text",
    "code": "character(3)",
    "batch": "bigint",
    "small": "smallint",
    "paid": "boolean",
    "day": "date",
    "owner": "uuid",
    "rate": "numeric(6,2)",
    "made_at": "timestamp with time zone",
    "name": "citext",
    "share": "double precision",
    "tags": "text[]",
}
TABLE = TableInfo(
    QualifiedName("orders"), tuple(Column(name, type_) for name, type_ in TYPES.items()), ("id",)
)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
SETS = {"eu": ["de", "fr"], "us": ["us"]}


def made(**options: object) -> List:
    answer = List.parse(options, TABLE)
    assert isinstance(answer, List), answer
    return answer


def problems(**options: object) -> dict[str, str]:
    answer = List.parse(options, TABLE)
    assert isinstance(answer, Problems), answer
    return {problem.field: problem.message for problem in answer.found}


class TestSets(PartitionerContract):
    partitioner = made(key="country", values=SETS, null="unknown")
    profiles = (Profile(), Profile("de", "us", ("de", "us", None), 9))


class TestGuarded(PartitionerContract):
    partitioner = made(key="code", values=SETS, default="guard")
    profiles = (Profile(), Profile("at", "us", ("at", "us"), 9))


class TestWindow(PartitionerContract):
    partitioner = made(key="batch", window=100, premake=2, retention=12)
    profiles = (
        Profile(),
        Profile(90, 103, (90, 91, 103)),
        Profile(-3, 2),
        Profile(2**63 - 3, 2**63 - 1),
        Profile(-(2**63), 3 - 2**63),
    )


def test_plugin_offers_the_method() -> None:
    assert [kind.kind for kind in plugin.partitioners] == ["list"]


def test_a_partition_is_called_after_its_set() -> None:
    partitions = made(key="country", values=SETS, default="guard").initial("orders", Profile(), NOW)
    assert partitions == (
        Partition("orders_eu", ListBound(("de", "fr"))),
        Partition("orders_us", ListBound(("us",))),
        Partition("orders_default", DefaultBound()),
    )


def test_text_of_a_command_line_says_the_same() -> None:
    assert made(key="country", values="eu = de, fr; us = us") == made(key="country", values=SETS)


@pytest.mark.parametrize(
    ("key", "item", "value"),
    [
        ("batch", "7", 7),
        ("paid", True, "true"),
        ("paid", "f", "false"),
        ("day", date(2026, 2, 28), date(2026, 2, 28)),
        ("day", "2024-02-29", date(2024, 2, 29)),
        ("owner", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
        ("rate", 1.5, Decimal("1.50")),
        ("code", "de", "de "),
        ("country", " d'e ", " d'e "),
    ],
)
def test_a_value_is_read_as_the_server_tells_it(key: str, item: object, value: object) -> None:
    assert made(key=key, values={"one": [item]}).wanted(NOW, Profile()) == [ListBound((value,))]  # type: ignore[arg-type]


def test_a_value_of_no_set_is_refused_before_a_row_moves() -> None:
    with pytest.raises(NoPartitionFor, match='"country" is at, NULL'):
        made(key="country", values=SETS).wanted(NOW, Profile(values=("at", "de", None)))


def test_an_adopted_table_takes_what_belongs_to_no_set() -> None:
    adopted = made(key="country", values=SETS, default="guard").adopt(Profile(values=("at", "de")), NOW)
    assert adopted == ListBound(("de", "fr", "us", "at"))


def test_the_window_moves_with_the_rows() -> None:
    window = made(key="batch", window=100, premake=1)
    there = window.initial("orders", Profile(), NOW)
    due = window.due("orders", there, NOW, Profile(100, 101))
    assert [partition.name for partition in due.create] == ["orders_102"]


def test_the_window_leaves_behind_what_is_kept_no_longer() -> None:
    window = made(key="batch", window=100, premake=1, retention={"keep": 3})
    there = window.initial("orders", Profile(100, 110), NOW)
    past = window.past(there, NOW, Profile(100, 110))
    assert [found.partition.name for found in past] == [f"orders_{number}" for number in range(100, 108)]
    assert past[0].reason == "its values are 3 or more behind 110"


def test_a_window_without_rows_leaves_nothing_behind() -> None:
    window = made(key="batch", window=100, premake=50, retention=1)
    assert not window.past(window.initial("orders", Profile(), NOW), NOW, Profile())


def test_a_wide_window_cannot_become_one_partition() -> None:
    assert isinstance(made(key="batch", window=1).adopt(Profile(1, 10_000_000), NOW), NotAdopted)


def test_a_default_partition_is_drained_value_by_value() -> None:
    guarded = made(key="country", values=SETS, default="guard")
    pieces = guarded.split(Partition("d", DefaultBound()), Profile(values=("at", None)), NOW, {})
    assert pieces == [ListBound(("at",)), ListBound((None,)), DefaultBound()]


def test_a_split_keeps_what_was_not_named() -> None:
    sets = made(key="country", values=SETS)
    eu = Partition("orders_eu", ListBound(("de", "fr", "at")))
    assert sets.split(eu, Profile(), NOW, {"values": "big=de,fr"}) == [
        ListBound(("de", "fr")),
        ListBound(("at",)),
    ]


@pytest.mark.parametrize("values", ["big=de,us", "big=de,fr", "big=de; other=de", "de"])
def test_a_split_that_tiles_nothing_is_a_problem(values: str) -> None:
    eu = Partition("orders_eu", ListBound(("de", "fr")))
    assert isinstance(
        made(key="country", values=SETS).split(eu, Profile(), NOW, {"values": values}), Problems
    )


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"values": SETS}, "key", "columns that fit: country, code"),
        ({"key": "nope", "values": SETS}, "key", "no column"),
        *(
            ({"key": key, "values": SETS}, "key", "cannot be listed")
            for key in ("made_at", "name", "share", "tags")
        ),
        ({"key": "country"}, "values", "which values go together"),
        ({"key": "country", "values": {}}, "values", "sets with names"),
        ({"key": "country", "values": "de"}, "values", "NAME=VALUE"),
        ({"key": "country", "values": {"eu": []}}, "values.eu", "is empty"),
        ({"key": "country", "values": {"eu": ["de"], "b": ["de"]}}, "values.b", "belongs to eu already"),
        ({"key": "country", "values": {"default": ["de"]}}, "values.default", "is kept for"),
        ({"key": "country", "values": {"x" * 41: ["de"]}}, f"values.{'x' * 41}", "1 to 40 bytes"),
        ({"key": "small", "values": {"eu": [40_000]}}, "values.eu", "not of type smallint"),
        ({"key": "batch", "values": {"eu": [True]}}, "values.eu", "not of type bigint"),
        ({"key": "code", "values": {"eu": ["four"]}}, "values.eu", "not of type character(3)"),
        ({"key": "rate", "values": {"eu": ["NaN"]}}, "values.eu", "not of type numeric"),
        ({"key": "country", "values": SETS, "default": "yes"}, "default", "neither"),
        ({"key": "country", "values": SETS, "premake": 2}, "premake", 'does not go with "values"'),
        ({"key": "country", "window": 1}, "window", "moves over smallint"),
        ({"key": "batch", "window": "x"}, "window", "not the integer"),
        ({"key": "batch", "window": 1, "values": SETS}, "values", 'does not go with "window"'),
        ({"key": "batch", "window": 1, "retention": 0}, "retention", "no number of values"),
        ({"key": "batch", "window": 1, "retention": {"kep": 1}}, "retention.kep", 'did you mean "keep"'),
    ],
)
def test_wrong_options_are_told_by_field(options: dict[str, object], field: str, said: str) -> None:
    assert said in problems(**options)[field]


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)


@given(
    groups=st.lists(st.lists(texts, min_size=1, max_size=5), min_size=2, max_size=5),
    table=st.text(
        st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=63
    ),
)
def test_any_values_split_and_merge(groups: list[list[str]], table: str) -> None:
    table = table.encode()[:MAX_BYTES].decode(errors="ignore") or "t"
    seen: set[str] = set()
    sets = {}
    for number, group in enumerate(groups):
        own = [value for value in dict.fromkeys(group) if value not in seen]
        seen |= set(own)
        if own:
            sets[f"set {number}"] = own
    partitioner = made(key="country", values=sets)
    partitions = partitioner.initial(table, Profile(), NOW)

    assert first_overlap(partitions) is None
    assert all(len(partition.name.encode()) <= MAX_BYTES for partition in partitions)
    bounds = [ListBound((value,)) for value in sorted(seen)]
    names = {partitioner.name(table, bound) for bound in bounds}
    assert len(names) == len(bounds)
    if len(partitions) > 1:
        merged = partitioner.merge(partitions)
        assert not isinstance(merged, Problems)
        assert tiles(merged, [partition.bound for partition in partitions])
        pieces = partitioner.split(Partition("whole", merged), Profile(), NOW, {})
        assert pieces == [partition.bound for partition in partitions]


@given(
    low=st.integers(-(2**15), 2**15 - 1),
    width=st.integers(0, 300),
    premake=st.integers(0, 50),
    keep=st.integers(1, 400),
)
def test_windows_hold_what_they_should(low: int, width: int, premake: int, keep: int) -> None:
    window = made(key="small", window=1, premake=premake, retention=keep)
    profile = Profile(low, min(low + width, 2**15 - 1))
    partitions = window.initial("orders", profile, NOW)
    values = [value for p in partitions if isinstance(p.bound, ListBound) for value in p.bound.values]

    assert values == list(range(low, min(low + width + premake, 2**15 - 1) + 1))
    assert len({partition.name for partition in partitions}) == len(partitions)
    kept = set(values) - {
        value
        for found in window.past(partitions, NOW, profile)
        if isinstance(found.partition.bound, ListBound)
        for value in found.partition.bound.values
    }
    assert isinstance(profile.high, int)
    assert min(kept) == max(low, profile.high - keep + 1)
