"""EV104: a foreign key that checks every row at once, on a table in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.target import target_columns
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.replay.constraints import same_key
from evolve.sql.steps import Step
from evolve.sql.volatility import volatile_functions


class AddFkValidated(Rule):
    id = "EV104"
    name = "add-fk-validated"
    severity = Severity.ERROR
    looks_at = (op.AddConstraint, op.AddColumn)
    lock = LockMode.SHARE_ROW_EXCLUSIVE
    scan = True
    peers = (
        "squawk:adding-foreign-key-constraint",
        "squawk:constraint-missing-not-valid",
        "eugene:E1",
        "strong_migrations:add_foreign_key",
        "zdm:R006",
    )
    why = (
        "both tables refuse writes while PostgreSQL looks up the target of every row; NOT VALID takes the "
        "same locks for an instant, and VALIDATE then reads the rows while writes go on"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddConstraint(table, op.ForeignKey(not_valid=False) as key) if history.in_use(table):
                if _each_partition_has(history, table, key):
                    return
                name = key.name or shorten(table.name, *key.columns, "fkey")
                found = history.schema.table(table)
                # PostgreSQL takes NOT VALID foreign keys of partitioned tables from 18 on.
                refused = (
                    found is not None and found.partition_by is not None and history.postgres_version < 18
                )
                not_valid = code.add_foreign_key(table, name, key, target_columns(key, history))
                yield self.finding(
                    step,
                    f'the foreign key from "{table.plain}" to "{key.target.plain}" reads every row '
                    "while writes to both tables wait",
                    table=table,
                    safe=() if refused else (not_valid, code.validate(table, name)),
                    fix="add it to each partition first, NOT VALID, and validate it there: op.add_fk_on_partitions does"
                    if refused
                    else None,
                )
            case op.AddColumn(table, column) as add if history.adds(add) and _valued(column):
                for inline in column.constraints:
                    if isinstance(inline, op.ForeignKey):
                        yield self._inline(step, table, column, inline, history)
            case _:
                return

    def _inline(
        self,
        step: Step,
        table: QualifiedName,
        column: op.ColumnDefinition,
        inline: op.ForeignKey,
        history: History,
    ) -> Finding:
        name = inline.name or shorten(table.name, column.name, "fkey")
        key = replace(inline, columns=(column.name,))
        add = (
            code.add_column_with_default(table, column),
            code.add_foreign_key(table, name, key, target_columns(key, history)),
        )
        # A default that is computed for every row is EV108's to part.
        ready = not volatile_functions(column.default, history.schema.functions)
        return self.finding(
            step,
            f'"{table.plain}.{column.name}" has a default, so its foreign key to "{key.target.plain}" reads '
            f"every row under {LockMode.ACCESS_EXCLUSIVE}",
            table=table,
            lock=LockMode.ACCESS_EXCLUSIVE,
            safe=("\n".join(add), code.validate(table, name)) if ready else (),
        )


def _each_partition_has(history: History, table: QualifiedName, key: op.ForeignKey) -> bool:
    """PostgreSQL takes over what each partition has validated, and reads no row."""
    partitions = list(history.schema.partitions_of(table))
    return bool(partitions) and all(
        any(same_key(own, key) and not own.not_valid for own in partition.foreign_keys)
        or (partition.partition_by is not None and _each_partition_has(history, partition.name, key))
        for partition in partitions
    )


def _valued(column: op.ColumnDefinition) -> bool:
    """Without a default every row has a null there, and PostgreSQL looks up none."""
    return column.default is not None and column.default.sql.upper() != "NULL"
