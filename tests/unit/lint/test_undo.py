"""What a script takes back is judged for its locks and for what PostgreSQL refuses, and leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.app.explain_rule import all_rules
from evolve.lint.engine import check
from evolve.sql.script import read_script

FILE = Path("change.sql")


def found(text: str) -> list[tuple[str, int]]:
    result = check([read_script(text, FILE)], [rule for rule in all_rules() if not rule.opt_in])
    return [(finding.name, finding.place.line) for finding in result.findings]


def undone(text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.sql, each.undone) for each in read_script(text, FILE).statements]


def test_what_a_transaction_takes_back_is_marked() -> None:
    assert undone("SELECT 1; BEGIN; SELECT 2; ROLLBACK; BEGIN; SELECT 3; COMMIT") == [
        ("SELECT 1", ()),
        ("SELECT 2", (1,)),
        ("SELECT 3", ()),
    ]


def test_a_savepoint_within_what_is_taken_back_comes_first() -> None:
    text = "BEGIN; SELECT 1; SAVEPOINT a; SELECT 2; ROLLBACK TO a; SELECT 3; ROLLBACK"

    assert undone(text) == [
        ("SELECT 1", (2,)),
        ("SAVEPOINT a", (2,)),
        ("SELECT 2", (2, 1)),
        ("ROLLBACK TO a", (2,)),
        ("SELECT 3", (2,)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'BEGIN; SAVEPOINT "A"; SELECT 2; ROLLBACK TO SAVEPOINT a; COMMIT',
        "BEGIN; SAVEPOINT a; SELECT 2; RELEASE a; ROLLBACK TO a; COMMIT",
        "BEGIN; SAVEPOINT a; SELECT 2; COMMIT; BEGIN; ROLLBACK TO a; COMMIT",
    ],
)
def test_a_savepoint_that_there_is_not_takes_nothing_back(text: str) -> None:
    assert {regions for _, regions in undone(text)} == {()}


def test_a_later_savepoint_hides_one_of_the_same_name() -> None:
    text = "BEGIN; SAVEPOINT a; SELECT 1; SAVEPOINT A; SELECT 2; ROLLBACK TO a; COMMIT"

    assert [sql for sql, regions in undone(text) if regions] == ["SELECT 2"]


def test_a_drop_that_is_taken_back_loses_nothing() -> None:
    assert found("BEGIN;\nALTER TABLE users DROP COLUMN name;\nROLLBACK;") == []


def test_a_scan_that_is_taken_back_has_blocked_all_the_same() -> None:
    text = "BEGIN;\nALTER TABLE users ALTER name SET NOT NULL;\nROLLBACK;"

    assert ("set-not-null-scan", 2) in found(text)


def test_what_postgresql_refuses_is_told_although_it_would_be_taken_back() -> None:
    text = "BEGIN;\nCREATE INDEX CONCURRENTLY i ON users (name);\nROLLBACK;"

    assert ("concurrently-in-transaction", 2) in found(text)


def test_a_table_that_is_taken_back_is_not_new() -> None:
    text = (
        "BEGIN;\nCREATE TABLE users (id bigint, name text);\n{};\nALTER TABLE users ALTER name SET NOT NULL;"
    )

    assert ("set-not-null-scan", 4) not in found(text.format("COMMIT"))
    assert ("set-not-null-scan", 4) in found(text.format("ROLLBACK"))


def test_within_its_transaction_it_is_there() -> None:
    text = "BEGIN;\nCREATE TABLE users (id bigint, name text);\nALTER TABLE users ALTER name SET NOT NULL;\nROLLBACK;"

    assert found(text) == []


def test_a_constraint_that_a_savepoint_takes_back_proves_nothing() -> None:
    text = (
        "BEGIN;\nSAVEPOINT a;\nALTER TABLE users ADD CONSTRAINT c CHECK (name IS NOT NULL);\n"
        "{};\nCOMMIT;\nALTER TABLE users ALTER name SET NOT NULL;"
    )

    assert ("set-not-null-scan", 6) not in found(text.format("RELEASE a"))
    assert ("set-not-null-scan", 6) in found(text.format("ROLLBACK TO a"))


def test_new_code_needs_nothing_that_is_taken_back() -> None:
    recording = read_script("BEGIN; ALTER TABLE users ADD COLUMN age int; ROLLBACK;", FILE)

    assert check([recording], []).needs == ()


def test_a_lock_of_a_savepoint_that_is_taken_back_is_not_kept() -> None:
    text = (
        "BEGIN;\nSAVEPOINT a;\nALTER TABLE users ADD COLUMN age int;\n{};\n"
        "ALTER TABLE orders ALTER note SET NOT NULL;\nCOMMIT;"
    )

    assert ("multi-table-lock", 5) in found(text.format("RELEASE a"))
    assert ("multi-table-lock", 5) not in found(text.format("ROLLBACK TO a"))


def test_what_is_taken_back_is_not_beside_a_concurrent_build() -> None:
    text = "BEGIN;\nCREATE TABLE t (id bigint);\n{};\nCREATE INDEX CONCURRENTLY i ON users (name);"

    assert ("concurrently-not-alone", 4) in found(text.format("COMMIT"))
    assert ("concurrently-not-alone", 4) not in found(text.format("ROLLBACK"))
