"""What looks as if PostgreSQL refused it, and what may be otherwise than the history tells."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.model import Severity
from evolve.lint.rules import ALL
from evolve.sql.steps import Mark

REFUSALS = {
    "default-unfit",
    "unique-of-one-value",
    "index-method-unfit",
    "using-index-unfit",
    "name-not-there",
    "name-taken",
}


def refused(*statements: str, remarks: tuple[tuple[Mark, int], ...] = ()) -> set[str]:
    found = judge(recording("r", *statements, remarks=remarks), rules=ALL)
    return {finding.name for finding in found} & REFUSALS


UNIQUE = ("ALTER TABLE users ADD COLUMN code text DEFAULT ''", "ALTER TABLE users ADD UNIQUE (code)")


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TYPE status ADD VALUES 'gone'", "ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'gone'"),
        ("ALTER TABLE orders ADD COLUMN place geometry DEFAULT 'POINT(1 2)'",),
        ("CREATE TABLE new (at date DEFAULT now(), ip inet DEFAULT 'anything')",),
        (UNIQUE[0], "UPDATE users SET code = id::text", UNIQUE[1]),
        (UNIQUE[0], "SELECT fill_codes()", UNIQUE[1]),
        ("ALTER TABLE users ADD COLUMN IF NOT EXISTS code text DEFAULT ''", UNIQUE[1]),
        ("CREATE TABLE new (id int)", "ALTER TABLE new ADD COLUMN code text DEFAULT '' UNIQUE"),
        (UNIQUE[0], "CREATE UNIQUE INDEX by_code ON users (code) WHERE code <> ''"),
        ("CREATE EXTENSION btree_gin", "CREATE INDEX found_by_name ON users USING gin (name)"),
        ("CREATE INDEX found_by_name ON users USING gin (name gin_trgm_ops)",),
        ("CREATE INDEX by_place ON users USING hnsw (name, email)",),
        ("CREATE TABLE new (LIKE users, PRIMARY KEY (id)) PARTITION BY RANGE (id)",),
        ("CREATE TABLE new () INHERITS (users)",),
        ("CREATE TABLE new (a int, CHECK (new IS NOT NULL)) PARTITION BY RANGE (lower(a::text))",),
        ("CREATE TABLE legacy_copy AS SELECT * FROM users", "CREATE INDEX ON legacy_copy (anything)"),
        (
            "DO $$ BEGIN EXECUTE concat('ALTER TABLE', ' users ADD code int'); END $$",
            "CREATE INDEX ON users (code)",
        ),
    ],
)
def test_what_is_not_sure_is_not_told(statements: tuple[str, ...]) -> None:
    assert refused(*statements) == set()


def test_rows_that_a_revision_reads_may_be_filled_one_by_one() -> None:
    assert refused(*UNIQUE) == {"unique-of-one-value"}
    assert refused(*UNIQUE, remarks=((Mark.READ_ROWS, 1),)) == set()


def test_default_that_fits_no_row_is_told_without_a_failure() -> None:
    (finding,) = judge(
        recording("r", "CREATE TABLE new (id int PRIMARY KEY, code varchar(3) DEFAULT 'none')")
    )

    assert (finding.name, finding.fails) == ("default-unfit", False)


def test_extension_that_may_be_there_makes_a_warning() -> None:
    found = judge(
        recording(
            "r", "CREATE TABLE new (id int PRIMARY KEY, name text)", "CREATE INDEX ON new USING gin (name)"
        ),
        recording("s", "CREATE TABLE letters (id int PRIMARY KEY, body json UNIQUE)"),
    )

    unfit = [finding.severity for finding in found if finding.name == "index-method-unfit"]
    assert unfit == [Severity.WARNING, Severity.ERROR]


def test_what_is_refused_takes_no_lock_worth_telling() -> None:
    found = judge(
        recording("r", "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (status) REFERENCES users (id)")
    )

    assert "add-fk-validated" not in names(found)
    assert [finding.fails for finding in found if finding.name == "fk-type-mismatch"] == [True]
