"""EV719: a timeout is set behind the statement that needed it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.one_transaction import where
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

_TIMEOUTS = frozenset({"lock_timeout", "statement_timeout"})


class TimeoutSetLate(Rule):
    id = "EV719"
    name = "timeout-set-late"
    severity = Severity.INFO
    looks_at = (op.SetParameter,)
    opt_in = True
    why = "the lock was asked for without the limit, and setting it now does not shorten how long it is held"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.SetParameter(name=name, value=str()) if name in _TIMEOUTS:
                kept = history.transaction.strongest()
                if kept is not None and kept[1].blocks_writes and not _was_set(name, history):
                    yield self.finding(
                        step,
                        f'{name} is set after "{kept[0].plain}" was locked {where(kept[2], step)}',
                        fix="set it first",
                    )
            case _:
                return


def _was_set(name: str, history: History) -> bool:
    earlier = (before.operation for before in history.revision[: history.position])
    return any(isinstance(operation, op.SetParameter) and operation.name == name for operation in earlier)
