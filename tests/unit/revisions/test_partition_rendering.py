"""Operations on partitions as autogenerate writes them: the text does what the operation does."""

from __future__ import annotations

import io

import pytest
from alembic.autogenerate import render_python_code
from alembic.migration import MigrationContext
from alembic.operations import MigrateOperation, Operations
from alembic.operations.ops import UpgradeOps

from evolve.partition.revision_sql import BadBound
from evolve.revisions.model_partitions import BadPartitions, written_partitions
from evolve.revisions.partition_builds import AddForeignKeyOnPartitions, CreateIndexOnPartitions
from evolve.revisions.partition_operations import (
    AttachPartition,
    CreatePartition,
    DetachPartition,
    DropPartition,
    PlanConversion,
)

JANUARY = "FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')"

OPERATIONS: list[MigrateOperation] = [
    CreatePartition("log", "log_1", JANUARY),
    CreatePartition("a.log", "a.log_1", "DEFAULT", "HASH (id)"),
    AttachPartition("log", "log_1", JANUARY, "at"),
    AttachPartition("log", "log_1", "FOR VALUES WITH (MODULUS 4, REMAINDER 1)", ("id", "at")),
    DetachPartition("log", "log_1"),
    DetachPartition("log", "log_1", concurrently=False),
    DropPartition("log", "log_1"),
    CreateIndexOnPartitions("by_id", "log", ["id"], partitions=["log_1"]),
    CreateIndexOnPartitions(
        "by_name",
        "log",
        ["lower(name)", "at"],
        unique=True,
        using="btree",
        include=["id"],
        where="id > 0",
        partitions=["log_1", "log_2"],
    ),
    AddForeignKeyOnPartitions("fk", "log", "users", ["user_id"], ["id"], partitions=["log_1"]),
    AddForeignKeyOnPartitions(
        "fk",
        "log",
        "users",
        ["a", "b"],
        ["x", "y"],
        ondelete="CASCADE",
        onupdate="SET NULL",
        partitions=["p"],
    ),
    PlanConversion("log", None, "HASH (id)"),
]


def offline() -> tuple[Operations, io.StringIO]:
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    return Operations(context), written


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: type(each).__name__)
def test_what_is_rendered_does_the_same(operation: MigrateOperation) -> None:
    source = render_python_code(UpgradeOps([operation]))
    rendered, text = offline()
    exec(f"def upgrade():\n    {source}\nupgrade()", {"op": rendered})  # noqa: S102 - what was rendered just now
    direct, expected = offline()
    if not isinstance(operation, PlanConversion):
        direct.invoke(operation)
    assert statements(text) == statements(expected)


def statements(written: io.StringIO) -> list[str]:
    """Without the ends of transactions, which an autocommit block writes."""
    found = [each.strip() for each in written.getvalue().split(";")]
    return [each for each in found if each not in ("", "BEGIN", "COMMIT")]


def test_a_bound_is_written_as_postgresql_writes_it() -> None:
    operations, _ = offline()
    with pytest.raises(BadBound):
        operations.invoke(CreatePartition("log", "log_1", "('2026-01-01', '2026-02-01')"))


@pytest.mark.parametrize(
    "partitions",
    [
        ["log_1"],
        {1: "DEFAULT"},
        {"log_1": 1},
        {"log_1": {"bound": "DEFAULT", "of": "log"}},
        {"log_1": {"bound": "DEFAULT", "partitions": {"log_1_0": "DEFAULT"}}},
    ],
)
def test_partitions_of_a_model_that_cannot_be_read_are_told(partitions: object) -> None:
    import sqlalchemy as sa

    table = sa.Table("log", sa.MetaData(), info={"evolve": {"partitions": partitions}})
    with pytest.raises(BadPartitions):
        written_partitions(table)
