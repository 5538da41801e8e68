"""EV644: session state, which a pooler in transaction mode hands to somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

_SESSION_LOCKS = frozenset(
    {
        "pg_advisory_lock",
        "pg_advisory_lock_shared",
        "pg_try_advisory_lock",
        "pg_try_advisory_lock_shared",
    }
)


class PgbouncerTransactionMode(Rule):
    id = "EV644"
    name = "pgbouncer-transaction-mode"
    severity = Severity.WARNING
    looks_at = (op.SetParameter, op.Query, op.CreateTable, op.Other)
    opt_in = True
    why = (
        "in transaction mode PgBouncer gives each transaction a server connection of its own: what belongs to the "
        "session is lost for the revision and stays behind for whoever gets that connection next"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        what = _session_state(step)
        if what is not None:
            yield self.finding(
                step, what, fix="SET LOCAL and pg_advisory_xact_lock(), or run revisions past the pooler"
            )


def _session_state(step: Step) -> str | None:
    match step.operation:
        case op.SetParameter(name=name, value=str(), local=False):
            return f"SET {name} is meant for the session"
        case op.Query(functions=functions) if not _SESSION_LOCKS.isdisjoint(functions):
            return "the advisory lock belongs to the session, and its unlock may reach another one"
        case op.CreateTable(table=table, temporary=True) if step.transaction is None:
            return f'temporary table "{table.name}" belongs to the session'
        case op.Other("LISTEN" | "PREPARE"):
            return f"{step.operation.kind} belongs to the session"
        case _:
            return None
