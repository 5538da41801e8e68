"""EV150: a new table's foreign key keeps its target locked while something slow runs in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.slow_work import slow_behind
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class CreateTableFkLocksParent(Rule):
    id = "EV150"
    name = "create-table-fk-locks-parent"
    severity = Severity.WARNING
    looks_at = (op.CreateTable,)
    lock = LockMode.SHARE_ROW_EXCLUSIVE
    why = (
        "the lock lets nobody write to the table that is referred to, and is kept until the transaction ends: "
        "alone it takes an instant; with slow work behind it, as long as that takes. Make the table in a revision "
        "of its own"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if step.transaction is None or any(_targets(earlier, history) for earlier in _before(step, history)):
            return  # one that autocommits keeps nothing, and of several the first is told of
        targets = _targets(step, history)
        slow = slow_behind(step, history)
        if not targets or slow is None:
            return
        yield self.finding(
            step,
            f"the foreign key of the new table locks {listed([target.plain for target in targets])}, and the lock "
            f"is kept while the statement at line {slow.place.line} reads a whole table",
            table=targets[0],
        )


def _before(step: Step, history: History) -> Iterator[Step]:
    return (earlier for earlier in history.steps if earlier.transaction == step.transaction)


def _targets(step: Step, history: History) -> list[QualifiedName]:
    """The tables in use that a new table refers to."""
    match step.operation:
        case op.CreateTable(table=table, columns=columns, constraints=constraints):
            every = (*constraints, *(each for column in columns for each in column.constraints))
            targets = (each.target for each in every if isinstance(each, op.ForeignKey))
            return [each for each in dict.fromkeys(targets) if each != table and history.in_use(each)]
        case _:
            return []
