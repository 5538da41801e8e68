"""EV110: rows are rewritten while the transaction keeps a strong lock that DDL took."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.one_transaction import part, where
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DdlAndBackfillOneTransaction(Rule):
    id = "EV110"
    name = "ddl-and-backfill-one-transaction"
    severity = Severity.ERROR
    looks_at = (op.Update, op.Delete, op.Insert)
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "a lock is kept until the transaction ends: what ALTER TABLE needs for a millisecond is held for as"
        " long as the rows take"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = _rows_of(step.operation, history)
        kept = history.transaction.strongest()
        if table is None or not history.in_use(table) or kept is None or not kept[1].blocks_writes:
            return
        relation, mode, taken = kept
        if any(_rows_of(earlier.operation, history) == table for earlier in _since(taken, step, history)):
            return  # of several changes of a table the first is told of
        yield self.finding(
            step,
            f'rows of "{table.plain}" are changed while "{relation.plain}" stays locked by the statement '
            f"{where(taken, step)}",
            table=relation,
            lock=mode,
            # With a WHERE the server's plan decides how many rows are read.
            scan=relation in effect(step.operation, history.schema, history.postgres_version).scans,
            fix=part(
                taken, step, "move it to a revision of its own, or to a backfill: evolve backfill --help"
            ),
        )


def _since(taken: Step, step: Step, history: History) -> Iterator[Step]:
    """What the revision did in the transaction since the lock was taken."""
    for earlier in reversed(history.revision[: history.position]):
        if earlier.statement is taken.statement or earlier.transaction != step.transaction:
            return
        yield earlier


def _rows_of(operation: op.Operation, history: History) -> QualifiedName | None:
    """The table whose rows are changed in bulk: what names the rows by their key ends at once.

    INSERT … VALUES adds a few rows and ends at once, and so does one whose query reads constants or a new table.
    """
    match operation:
        case op.Update(table=table, pinned=pinned) | op.Delete(table=table, pinned=pinned):
            return None if _finds_few(table, pinned, history) else table
        case op.Insert(table=table, from_query=True, sources=sources) if any(map(history.in_use, sources)):
            return table
        case _:
            return None


def _finds_few(table: QualifiedName, pinned: frozenset[str], history: History) -> bool:
    """True where the columns that equal constants hold a unique key; "id" is taken for one where keys are not known."""
    found = history.schema.table(table)
    if found is None or found.implied:
        return "id" in pinned
    keys = [index.definition for index in history.schema.indexes_of(table) if index.definition.unique]
    return any(None not in key.columns and pinned.issuperset(filter(None, key.columns)) for key in keys)
