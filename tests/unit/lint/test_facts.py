"""Facts of a database: written, read again, summed up over partitions, and refused where they are wrong."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.facts import TAKEN, facts, relation

from evolve.lint.facts import CannotReadFacts, LaterFacts, read, to_json
from evolve.sql.names import QualifiedName


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "facts.json"


def document(**changes: object) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(to_json(facts(relation("orders"))))
    return {**written, **changes}


def test_what_is_written_is_read_again(file: Path) -> None:
    known = facts(
        relation("orders"), relation("Odd.Name", rows=None, writes=None), since=TAKEN - timedelta(days=3)
    )
    file.write_text(to_json(known), encoding="utf-8")

    assert read(file) == known


def test_fields_of_later_versions_are_no_error(file: Path) -> None:
    file.write_text(json.dumps(document(connections=12)), encoding="utf-8")

    assert QualifiedName("orders") in read(file).relations


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ("{}", "these are no facts"),
        (json.dumps(document(schema=True)), "these are no facts"),
        (json.dumps(document(relations={})), "relations is not a list"),
        (json.dumps(document(relations=[7])), r"relations\[0\] is not an object"),
        (json.dumps(document(relations=[{}])), r"relations\[0\].kind is missing"),
        (json.dumps(document(taken="yesterday")), "taken is not a moment"),
        (json.dumps(document(taken="2026-11-20T03:00:00")), "taken is not a moment with its offset"),
        (json.dumps(document(standby=0)), "standby is not true or false"),
        (json.dumps(document(server_version="15")), "server_version is not a whole number"),
        (json.dumps(document(schemas=[1])), "schemas is not a list of texts"),
        (json.dumps(document(relations=document()["relations"] * 2)), 'is a second "orders"'),
    ],
)
def test_wrong_files_are_refused_with_the_place(file: Path, content: str, says: str) -> None:
    file.write_text(content, encoding="utf-8")

    with pytest.raises(CannotReadFacts, match=says):
        read(file)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("rows", -1, "rows is not a whole number of at least 0"),
        ("rows", True, "rows is not a whole number"),
        ("heap_bytes", None, "heap_bytes is not a whole number"),
        ("heap_bytes", 1e9, "heap_bytes is not a whole number"),
        ("kind", "view", 'kind is "view"'),
        ("name", "a.b.c", "name is not a name"),
        ("writes", [], "writes is not an object"),
        ("indexes", [{}], r"indexes\[0\].name is missing"),
    ],
)
def test_wrong_relations_are_refused_with_the_place(file: Path, key: str, value: object, says: str) -> None:
    entry = {**document()["relations"][0], key: value}
    file.write_text(json.dumps(document(relations=[entry])), encoding="utf-8")

    with pytest.raises(CannotReadFacts, match=says):
        read(file)


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    with pytest.raises(CannotReadFacts, match="No such file"):
        read(file)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(CannotReadFacts, match="it is not JSON"):
        read(file)


def test_a_huge_file_is_refused_without_being_read(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(300_000_000)

    with pytest.raises(CannotReadFacts, match="more than 200 MB"):
        read(file)


def test_a_later_format_asks_for_a_later_evolve(file: Path) -> None:
    file.write_text(json.dumps(document(schema=2)), encoding="utf-8")

    with pytest.raises(LaterFacts, match="format 2"):
        read(file)


# -- sums ----------------------------------------------------------------------------------------------------------
def test_a_partitioned_table_is_as_large_as_its_partitions() -> None:
    known = facts(
        relation("events", kind="partitioned table", rows=0, heap=0, index=0),
        relation("events_2026", partition_of="events", kind="partitioned table", rows=0, heap=0, index=0),
        relation("events_2026_01", partition_of="events_2026", rows=10, heap=100, index=20),
        relation("events_old", partition_of="events", rows=5, heap=50, index=10),
    )

    size = known.size(QualifiedName("events"))

    assert size is not None
    assert (size.rows, size.bytes) == (15, 180)


def test_rows_that_nobody_counted_are_not_zero() -> None:
    size = facts(relation("orders", rows=None)).size(QualifiedName("orders"))

    assert size is not None
    assert size.rows is None


def test_writes_are_counted_over_the_age_of_the_statistics() -> None:
    known = facts(relation("orders", writes=7_200), since=TAKEN - timedelta(hours=1))

    size = known.size(QualifiedName("orders"))

    assert size is not None
    assert size.writes_per_second == 2.0


@pytest.mark.parametrize("since", [None, TAKEN - timedelta(seconds=5), TAKEN + timedelta(days=1)])
def test_counters_of_unknown_or_no_age_give_no_rate(since: datetime | None) -> None:
    size = facts(relation("orders", writes=7_200), since=since).size(QualifiedName("orders"))

    assert size is not None
    assert size.writes_per_second is None


def test_partitions_that_name_each_other_are_counted_once() -> None:
    known = facts(
        relation("a", partition_of="b", rows=1),
        relation("b", partition_of="a", rows=2),
    )

    assert [found.name.name for found in known.tree(QualifiedName("a"))] == ["a", "b"]
