"""Which bound of a new partition PostgreSQL refuses."""

from __future__ import annotations

import pytest

from evolve.sql.bound_conflict import conflict
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema

T = QualifiedName("t")


def refusal(table: str, *bounds: str) -> str | None:
    """Why the last of `bounds` cannot join the table beside the others."""
    schema = Schema()
    statements = [f"CREATE TABLE t {table}"]
    statements += [f"CREATE TABLE p{number} PARTITION OF t {bound}" for number, bound in enumerate(bounds)]
    for statement in statements:
        for operation in parse(statement):
            apply(schema, operation)
    last = QualifiedName(f"p{len(bounds) - 1}")
    bound = schema.tables[last].bound or ""
    others = [part for part in schema.partitions_of(T) if part.name != last]
    return conflict(schema.tables[T], bound, others)


@pytest.mark.parametrize(
    ("table", "bounds", "says"),
    [
        (
            "(d date) PARTITION BY RANGE (d)",
            (
                "FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
                "FOR VALUES FROM ('2026-01-31') TO ('2026-03-01')",
            ),
            "belong to",
        ),
        (
            "(d timestamptz) PARTITION BY RANGE (d)",
            ("FOR VALUES FROM (MINVALUE) TO ('2026-02-01')", "FOR VALUES FROM ('2025-01-31') TO (MAXVALUE)"),
            "belong to",
        ),
        (
            "(a int, b int) PARTITION BY RANGE (a, b)",
            ("FOR VALUES FROM (1, 1) TO (1, 5)", "FOR VALUES FROM (1, 4) TO (2, 0)"),
            "belong to",
        ),
        (
            "(s text) PARTITION BY LIST (s)",
            ("FOR VALUES IN ('a', NULL)", "FOR VALUES IN (NULL)"),
            "belong to",
        ),
        ("(s mood) PARTITION BY LIST (s)", ("FOR VALUES IN ('a', 'b')", "FOR VALUES IN ('b')"), "belong to"),
        ("(n int) PARTITION BY LIST (n)", ("FOR VALUES IN (1)", "FOR VALUES IN ('1')"), "belong to"),
        (
            "(n int) PARTITION BY HASH (n)",
            ("FOR VALUES WITH (MODULUS 2, REMAINDER 1)", "FOR VALUES WITH (MODULUS 4, REMAINDER 3)"),
            "belong to",
        ),
        (
            "(n int) PARTITION BY HASH (n)",
            ("FOR VALUES WITH (MODULUS 4, REMAINDER 1)", "FOR VALUES WITH (MODULUS 6, REMAINDER 0)"),
            "factor",
        ),
        ("(n int) PARTITION BY LIST (n)", ("DEFAULT", "DEFAULT"), "DEFAULT partition already"),
        ("(n int) PARTITION BY HASH (n)", ("DEFAULT",), "no DEFAULT"),
        ("(n int) PARTITION BY RANGE (n)", ("FOR VALUES FROM (5) TO (5)",), "empty"),
        ("(n int) PARTITION BY RANGE (n)", ("FOR VALUES IN (5)",), "by range"),
        ("(a int, b int) PARTITION BY RANGE (a, b)", ("FOR VALUES FROM (5) TO (6)",), "one value for each"),
    ],
)
def test_refused(table: str, bounds: tuple[str, ...], says: str) -> None:
    assert says in (refusal(table, *bounds) or "")


@pytest.mark.parametrize(
    ("table", "bounds"),
    [
        (
            "(d date) PARTITION BY RANGE (d)",
            (
                "FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
                "FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
            ),
        ),
        (
            "(a int, b int) PARTITION BY RANGE (a, b)",
            ("FOR VALUES FROM (1, 1) TO (1, 5)", "FOR VALUES FROM (1, 5) TO (2, 0)"),
        ),
        ("(n int) PARTITION BY LIST (n)", ("FOR VALUES IN (1)", "FOR VALUES IN (2)", "DEFAULT")),
        (
            "(n int) PARTITION BY HASH (n)",
            ("FOR VALUES WITH (MODULUS 2, REMAINDER 1)", "FOR VALUES WITH (MODULUS 4, REMAINDER 2)"),
        ),
        # Text sorts by its collation, and what a function gives is not known.
        (
            "(s text) PARTITION BY RANGE (s)",
            ("FOR VALUES FROM ('a') TO ('m')", "FOR VALUES FROM ('B') TO ('z')"),
        ),
        (
            "(d date) PARTITION BY RANGE (d)",
            (
                "FOR VALUES FROM (current_date) TO ('2027-01-01')",
                "FOR VALUES FROM ('2026-01-01') TO ('2026-12-01')",
            ),
        ),
        # One time of day has a zone, the other that of the session.
        (
            "(d timestamptz) PARTITION BY RANGE (d)",
            (
                "FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-02-01 00:00+00')",
                "FOR VALUES FROM ('2026-01-31') TO ('2026-03-01')",
            ),
        ),
    ],
)
def test_not_refused(table: str, bounds: tuple[str, ...]) -> None:
    assert refusal(table, *bounds) is None
