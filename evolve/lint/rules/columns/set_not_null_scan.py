"""EV101: `SET NOT NULL` on a column that nothing has proven free of nulls."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.steps import Step


class SetNotNullScan(Rule):
    id = "EV101"
    name = "set-not-null-scan"
    severity = Severity.ERROR
    looks_at = (op.SetNotNull, op.AddConstraint)
    peers = (
        "squawk:adding-not-nullable-field",
        "eugene:E2",
        "strong_migrations:change_column_null",
        "zdm:R015",
        "strong_migrations:change_column_null_postgresql",
    )
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    breaks_old_code = True
    why = (
        "PostgreSQL reads every row under a lock that stops all reads and writes, and code that still "
        "writes null fails from then on; a validated CHECK makes it instant"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.SetNotNull(table, column, only=only):
                known = history.schema.table(table)
                if only and known is not None and known.partition_by is not None:
                    return  # its partitions have to be NOT NULL already
            # PostgreSQL 18 spells it as a constraint as well.
            case op.AddConstraint(table, op.NotNull(column=column, not_valid=False)) if (
                history.postgres_version >= 18
            ):
                pass
            case _:
                return
        # A proof that the same statement drops is another rule's: set-not-null-and-drop-check-together.
        if history.in_use(table) and not history.schema.proves_not_null(table, column):
            yield self.finding(
                step,
                f'NOT NULL on "{table.plain}.{column}" reads every row of the table under {self.lock}',
                table=table,
                breaks_old_code=history.may_write_null(table, column),
                safe=_safe(table, column),
                fix=command.plan("set-not-null", table, column),
            )


def _safe(table: QualifiedName, column: str) -> tuple[str, ...]:
    name = shorten(table.name, column, "not_null")
    return (
        code.add_check(table, name, f"{quote(column)} IS NOT NULL"),
        code.validate(table, name),
        # In statements of their own: dropped in the same ALTER TABLE the check proves nothing.
        "\n".join((code.not_null(table, column), code.drop_constraint(table, name))),
    )
