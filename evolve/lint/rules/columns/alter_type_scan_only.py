"""EV117: a change of type that leaves the rows as they are and checks constraints against all of them again."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.changed_type import ChangedType, changed_type
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AlterTypeScanOnly(Rule):
    id = "EV117"
    name = "alter-type-scan-only"
    severity = Severity.WARNING
    looks_at = (op.AlterColumnType,)
    peers = ("strong_migrations:change_column_constraint",)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    why = (
        "the rows stay as they are, but PostgreSQL reads all of them, to check the column's constraints again, "
        "under a lock that stops all reads and writes; a CHECK that is dropped before, added again NOT VALID "
        "and then validated lets traffic go on"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        changed = changed_type(step, history)
        if changed is None or not changed.in_use or changed.fails:
            return
        predicted = changed.effect
        if predicted.rewrites or predicted.rebuilds or not predicted.scans:
            return
        yield self.finding(
            step,
            f"changing {changed} checks every row against its constraints again under {self.lock}",
            table=changed.table,
            scan=changed.table in predicted.scans,
            safe=_safe(changed, history),
        )


def _safe(changed: ChangedType, history: History) -> tuple[str, ...]:
    """Where nothing but CHECKs of the table itself is in the way."""
    found = history.schema.table(changed.table)
    plain = changed.operation.using is None and changed.operation.collation is None
    if found is None or not plain or list(history.schema.children_of(found.name)):
        return ()
    checks = [
        constraint
        for constraint in found.constraints
        if isinstance(constraint, op.Check)
        and constraint.name
        and not constraint.not_valid
        and changed.column in constraint.expression.columns
    ]
    keys = [key for key in found.foreign_keys if changed.column in key.columns]
    if not checks or keys or changed.effect.scans != {found.name}:
        return ()
    change = code.change_type(changed.table, changed.column, changed.operation.type)
    return (
        "\n".join(
            (
                *(code.drop_constraint(found.name, str(check.name)) for check in checks),
                change,
                *(code.add_check(found.name, str(check.name), check.expression.sql) for check in checks),
            )
        ),
        "\n".join(code.validate(found.name, str(check.name)) for check in checks),
    )
