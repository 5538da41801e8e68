"""EV170: slow work in a transaction that keeps ACCESS EXCLUSIVE on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.one_transaction import part, where
from evolve.lint.predicted import predicted
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class StatementAfterAccessExclusive(Rule):
    id = "EV170"
    name = "statement-after-access-exclusive"
    severity = Severity.ERROR
    looks_at = (
        op.ValidateConstraint,
        op.CreateTable,
        op.CreateView,
        op.RefreshMaterializedView,
        op.Insert,
        op.Copy,
        op.Query,
        op.Other,
    )
    lock = LockMode.ACCESS_EXCLUSIVE
    peers = ("eugene:E4",)
    why = (
        "a lock is kept until its transaction ends: nobody reads or writes the table until this statement is done as "
        "well"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        kept = history.transaction.strongest()
        if kept is None or kept[1] is not LockMode.ACCESS_EXCLUSIVE or kept[2].statement is step.statement:
            return
        work = _slow_work(step, history)
        if work is None:
            return
        relation, mode, taken = kept
        alone = taken.revision == step.revision
        yield self.finding(
            step,
            f'{work} while "{relation.plain}" stays locked by the statement {where(taken, step)}',
            table=relation,
            lock=mode,
            # What a query of the revision reads is often a table of a few rows, and the text does not tell.
            severity=Severity.WARNING if isinstance(step.operation, op.Query) else None,
            scan=relation in predicted(step, history).scans,
            safe=(code.validate(step.operation.table, step.operation.name),)
            if alone and isinstance(step.operation, op.ValidateConstraint)
            else (),
            fix=part(taken, step, "move it to a revision of its own"),
        )


def _slow_work(step: Step, history: History) -> str | None:
    """What takes long, in words; what other rules say of the statement itself is left to them."""
    read = predicted(step, history).scans
    in_use = sorted(name.plain for name in read if history.in_use(name))
    match step.operation:
        case op.ValidateConstraint(table, name):
            added_here = (table, name) in history.transaction.not_valid  # EV107's
            return (
                f'every row of "{table.plain}" is read to validate "{name}"'
                if in_use and not added_here
                else None
            )
        case op.CreateTable(table=table, as_query=True) | op.CreateView(view=table, materialized=True):
            return f'"{table.plain}" is filled from "{in_use[0]}"' if in_use else None
        case op.RefreshMaterializedView(view=view):
            return f'"{view.plain}" is refreshed from "{in_use[0]}"' if in_use else None
        case op.Insert(table=table, from_query=True, sources=sources) if not history.in_use(table):
            drawn = [name.plain for name in sources if history.in_use(name)]
            return f'"{table.plain}" is filled from "{drawn[0]}"' if drawn else None
        case op.Copy(table=table, into=True) if table is not None:
            return f'rows are copied into "{table.plain}"'
        case op.Query(reads=reads, whole=True):
            drawn = [name.plain for name in reads if name in history.schema.tables and history.in_use(name)]
            return f'every row of "{drawn[0]}" is read' if drawn else None
        case op.Other(kind="ANALYZE", target=target) if target is None or history.in_use(target):
            return f'"{target.plain}" is analyzed' if target is not None else "all tables are analyzed"
        case _:
            return None
