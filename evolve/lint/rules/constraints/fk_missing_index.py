"""EV815: a foreign key whose columns no index leads with."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import foreign_keys_left
from evolve.lint.rules.constraints.serving_index import partial_index, serving_index
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.steps import Step


class FkMissingIndex(Rule):
    id = "EV815"
    name = "fk-missing-index"
    severity = Severity.WARNING
    peers = ("eugene:E15",)
    why = (
        "PostgreSQL indexes the target of a foreign key and not its own columns: for each row that is deleted there, "
        "or changes its key, the whole referencing table is read while the row stays locked"
    )

    def finish(self, history: History) -> Iterator[Finding]:
        # Looked at from the end: the index may come after the foreign key.
        for step, table, key in foreign_keys_left(history):
            # A table that is new is small for now; where rows of the target are to be deleted that ends soon.
            if not history.in_use(table) and key.on_delete is None:
                continue
            if serving_index(history.schema, table, key) or partial_index(history.schema, table, key):
                continue
            yield self.finding(
                step,
                f'no index of "{table.plain}" leads with {", ".join(key.columns)}, so each row that goes from '
                f'"{key.target.plain}" reads all of it',
                safe=_safe(step, history, table, key),
                fix=None if history.in_use(table) else f"index {', '.join(key.columns)} in the same revision",
            )


def _safe(step: Step, history: History, table: QualifiedName, key: op.ForeignKey) -> tuple[str, ...]:
    """Index first, so that the foreign key is never without one."""
    if not isinstance(step.operation, op.AddConstraint) or not history.in_use(table):
        return ()
    found = history.schema.table(table)
    if found is None or found.partition_by is not None:
        return ()
    index = op.IndexDefinition(None, table, tuple(op.IndexKey(column) for column in key.columns))
    build = code.create_index_concurrently(index, shorten(table.name, *key.columns, "idx"))
    name = key.name or shorten(table.name, *key.columns, "fkey")
    add = code.add_foreign_key(table, name, key, key.target_columns)
    return (build, add) if key.not_valid else (build, add, code.validate(table, name))
