"""An index of a partitioned table as revisions that let writes through: CONCURRENTLY cannot span partitions."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.schema import Schema


def revisions(schema: Schema, index: op.IndexDefinition, name: str) -> tuple[str, ...]:
    """The parent alone first, then each partition in a revision of its own, then attach them from below."""
    tree = tuple(_tree(schema, index.table, name))
    parents = [
        code.create_index_only(code.moved_to(index, table), own)
        for table, own, _ in tree
        if _split(schema, table)
    ]
    builds = [
        code.create_index_concurrently(code.moved_to(index, table), own)
        for table, own, _ in tree
        if not _split(schema, table)
    ]
    attach = [
        code.execute(f"ALTER INDEX {above} ATTACH PARTITION {QualifiedName(own, table.schema)}")
        for table, own, above in reversed(tree)
        if above is not None
    ]
    return tuple(body for body in ("\n".join(parents), *builds, "\n".join(attach)) if body)


def _tree(
    schema: Schema, table: QualifiedName, name: str, above: QualifiedName | None = None
) -> Iterator[tuple[QualifiedName, str, QualifiedName | None]]:
    """Each table from above to below, the name of its index, and the index that this is attached to."""
    yield table, name, above
    for part in schema.partitions_of(table):
        yield from _tree(schema, part.name, shorten(part.name.name, name), QualifiedName(name, table.schema))


def _split(schema: Schema, table: QualifiedName) -> bool:
    found = schema.table(table)
    return found is not None and found.partition_by is not None
