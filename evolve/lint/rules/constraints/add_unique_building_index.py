"""EV106: a UNIQUE or PRIMARY KEY constraint that builds its index at once, on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.steps import Step


class AddUniqueBuildingIndex(Rule):
    id = "EV106"
    name = "add-unique-building-index"
    severity = Severity.ERROR
    looks_at = (op.AddConstraint, op.AddColumn)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    breaks_old_code = True
    peers = (
        "squawk:adding-serial-primary-key-field",
        "squawk:disallowed-unique-constraint",
        "eugene:E7",
        "strong_migrations:add_unique_constraint",
        "zdm:R002",
    )
    why = (
        "the index is built under a lock that stops all reads and writes; built concurrently first, the "
        "constraint takes it over in an instant. Code that writes duplicates fails from then on"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddConstraint(
                table,
                (op.Unique(using_index=None) | op.PrimaryKey(using_index=None)) as constraint,
                only=only,
            ):
                if history.in_use(table) and not (only and _partitioned(table, history)):
                    yield self._finding(step, table, constraint, history)
            case op.AddColumn(table, column) as add if history.adds(add):
                for inline in column.constraints:
                    if isinstance(inline, op.Unique | op.PrimaryKey):
                        yield self._finding(step, table, inline, history, column)
            case _:
                return

    def _finding(
        self,
        step: Step,
        table: QualifiedName,
        constraint: op.Unique | op.PrimaryKey,
        history: History,
        added: op.ColumnDefinition | None = None,
    ) -> Finding:
        kind = "UNIQUE" if isinstance(constraint, op.Unique) else "PRIMARY KEY"
        columns = constraint.columns or ((added.name,) if added else ())
        ending = "key" if isinstance(constraint, op.Unique) else "pkey"
        name = constraint.name or shorten(table.name, *(columns if ending == "key" else ()), ending)
        found = history.schema.table(table)
        partitioned = found is not None and found.partition_by is not None
        index = op.IndexDefinition(
            name,
            table,
            tuple(op.IndexKey(column) for column in columns),
            unique=True,
            include=constraint.include,
            nulls_not_distinct=isinstance(constraint, op.Unique) and constraint.nulls_not_distinct,
        )
        build = code.create_index_concurrently(index, name)
        use = code.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {quote(name)} {kind} USING INDEX {quote(name)}"
        )
        first: tuple[str, ...] = (code.add_column(table, added),) if added else ()
        # USING INDEX makes the columns of a primary key NOT NULL, with a scan unless they are proven.
        if kind == "PRIMARY KEY" and added is None:
            unproven = tuple(column for column in columns if not history.proves_not_null(table, column))
            first = code.prove_not_null(table, unproven) if unproven else ()
        ready = kind == "UNIQUE" or added is None
        return self.finding(
            step,
            f'{kind} ({", ".join(columns)}) builds its index on "{table.plain}" under {self.lock}',
            table=table,
            # An insert of the previous release leaves a new column null, which is no duplicate.
            breaks_old_code=added is None or added.default is not None or index.nulls_not_distinct,
            safe=(*first, build, use) if ready and not partitioned else (),
        )


def _partitioned(table: QualifiedName, history: History) -> bool:
    """ONLY on such a table makes an index without rows, which partitions' indexes are attached to."""
    found = history.schema.table(table)
    return found is not None and found.partition_by is not None
