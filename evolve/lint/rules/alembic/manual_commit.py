"""EV656: `COMMIT` as SQL, in a transaction that Alembic keeps."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class ManualCommit(Rule):
    id = "EV656"
    name = "alembic-manual-commit"
    severity = Severity.WARNING
    looks_at = (op.TransactionControl,)
    why = (
        "what ran before is kept although the revision may still fail, so that running it again meets its own "
        "work; and psycopg 3 opens the next transaction at once, so that CONCURRENTLY fails all the same"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.TransactionControl(action="commit") if step.place.file.suffix == ".py":
                pass
            case _:
                return
        if _began_itself(history):
            return
        yield self.finding(
            step,
            "COMMIT ends Alembic's transaction behind its back",
            fix="split the revision, or step out with `with op.get_context().autocommit_block():`",
        )


def _began_itself(history: History) -> bool:
    """The revision opened the transaction itself, after it had stepped out of Alembic's."""
    for earlier in reversed(history.revision[: history.position]):
        match earlier.operation:
            case op.TransactionControl(action=action):
                return action == "begin" and earlier.transaction is None
            case _:
                pass
    return False
