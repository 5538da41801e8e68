"""EV131: foreign keys to further tables in the transaction that added one already."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import added
from evolve.lint.rules.constraints.target import target_columns
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.steps import Step


class AddFkMany(Rule):
    id = "EV131"
    name = "add-fk-many"
    severity = Severity.WARNING
    looks_at = (op.AddConstraint, op.AddColumn)
    lock = LockMode.SHARE_ROW_EXCLUSIVE
    why = (
        "each foreign key stops writes to both of its tables, and locks are kept until the transaction ends: while the "
        "revision waits for the last of the tables, writes to all the others wait, and two such waits can deadlock"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if step.transaction is None:
            return
        for table, constraint in added(step.operation, history):
            if not isinstance(constraint, op.ForeignKey):
                continue
            earlier = _earlier(step, history)
            if earlier is None:
                return
            kept = {
                name
                for name, (mode, _) in history.transaction.locks.items()
                if mode >= LockMode.SHARE_ROW_EXCLUSIVE
            }
            further = sorted(name for name in {table, constraint.target} - kept if history.in_use(name))
            if not further:
                continue
            # A lock that is stronger is ADD COLUMN's own.
            stronger = isinstance(step.operation, op.AddColumn) and further[0] == table
            name = constraint.name or shorten(table.name, *constraint.columns, "fkey")
            yield self.finding(
                step,
                f'the foreign key from "{table.plain}" to "{constraint.target.plain}" locks {_listed(further)} too, '
                f"in the transaction that added one at line {earlier.place.line}",
                table=further[0],
                lock=LockMode.ACCESS_EXCLUSIVE if stronger else None,
                scan=not constraint.not_valid
                and further[0] == table
                and isinstance(step.operation, op.AddConstraint),
                safe=(code.add_foreign_key(table, name, constraint, target_columns(constraint, history)),)
                if isinstance(step.operation, op.AddConstraint)
                else (),
                fix="add each foreign key in a revision of its own",
            )
            return


def _earlier(step: Step, history: History) -> Step | None:
    """The last step of the same revision and transaction that added a foreign key to a table in use."""
    for earlier in reversed(history.steps):
        if earlier.revision != step.revision or earlier.transaction != step.transaction:
            return None
        match earlier.operation:
            case op.AddConstraint(table, op.ForeignKey()) if history.in_use(table):
                return earlier
            case op.AddColumn(table, column) as add if history.adds(add):
                if any(isinstance(constraint, op.ForeignKey) for constraint in column.constraints):
                    return earlier
            case _:
                pass
    return None


def _listed(names: list[QualifiedName]) -> str:
    return " and ".join(f'"{name.plain}"' for name in names)
