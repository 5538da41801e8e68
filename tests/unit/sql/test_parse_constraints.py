"""What the parser tells of constraints and indexes beyond their shape: NOT ENFORCED, and storage parameters."""

from __future__ import annotations

import pytest

from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse


@pytest.mark.parametrize(
    ("sql", "enforced"),
    [
        ("ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0)", True),
        ("ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0) NOT VALID", True),
        ("ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0) NOT ENFORCED", False),
        ("ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES u NOT ENFORCED", False),
    ],
)
def test_constraint_that_is_not_enforced(sql: str, enforced: bool) -> None:
    [operation] = parse(sql)

    assert isinstance(operation, op.AddConstraint)
    assert isinstance(operation.constraint, op.Check | op.ForeignKey)
    assert operation.constraint.enforced is enforced


@pytest.mark.parametrize("constraint", ["CHECK (c > 0)", "REFERENCES u", "REFERENCES u DEFERRABLE"])
def test_constraint_at_a_column_that_is_not_enforced(constraint: str) -> None:
    [operation] = parse(f"CREATE TABLE t (c integer {constraint} NOT ENFORCED)")

    assert isinstance(operation, op.CreateTable)
    [found] = operation.columns[0].constraints
    assert isinstance(found, op.Check | op.ForeignKey)
    assert (found.enforced, found.not_valid) == (False, True)


def test_constraint_that_is_switched_off() -> None:
    [operation] = parse("ALTER TABLE t ALTER CONSTRAINT k NOT ENFORCED")

    assert operation == op.AlterTableOther(QualifiedName("t"), "alter constraint not enforced", "k")


def test_storage_parameters_of_an_index() -> None:
    [operation] = parse("CREATE INDEX i ON t USING ivfflat (c) WITH (lists = 10)")

    assert isinstance(operation, op.CreateIndex)
    assert operation.index.options == ("lists",)
