"""EV132: a foreign key goes in a transaction with slow work behind it, so that both of its tables stay locked."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.slow_work import slow_behind
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DropFk(Rule):
    id = "EV132"
    name = "drop-fk"
    severity = Severity.WARNING
    looks_at = (op.DropConstraint, op.DropTable)
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "a foreign key has triggers on both tables, so its end stops all reads and writes of the table it points at as "
        "well, until the transaction ends"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if step.transaction is None:
            return
        targets = [name for name in _targets(step.operation, history) if not _told(name, history)]
        slow = slow_behind(step, history)
        if not targets or slow is None:
            return
        target = targets[0]
        match step.operation:
            case op.DropConstraint(table, name):
                what = f'dropping the foreign key "{name}" of "{table.plain}"'
            case op.DropTable(table):
                what = f'dropping "{table.plain}" with its foreign key'
            case _:
                return
        yield self.finding(
            step,
            f'{what} locks "{target.plain}" against reads and writes, until the statement at line '
            f"{slow.place.line} has read a whole table",
            table=target,
            fix="drop it in a revision of its own",
        )


def _targets(operation: op.Operation, history: History) -> Iterator[QualifiedName]:
    """Tables that a dropped foreign key points at, other than those that are dropped by the same statement."""
    match operation:
        case op.DropConstraint(table, name):
            found = history.schema.table(table)
            key = found.constraint(name) if found is not None else None
            if isinstance(key, op.ForeignKey) and key.target != table:
                yield key.target
        case op.DropTable(table):
            found = history.schema.table(table)
            gone = {clause.table for clause in history.clauses if isinstance(clause, op.DropTable)}
            if found is not None and history.in_use(table):
                yield from (key.target for key in found.foreign_keys if key.target not in gone)
        case _:
            return


def _told(target: QualifiedName, history: History) -> bool:
    """Nobody uses it, or an earlier statement of the transaction has locked it as strongly."""
    mode, _ = history.transaction.locks.get(target, (None, None))
    return mode is LockMode.ACCESS_EXCLUSIVE or not history.in_use(target)
