"""EV622: a CHECK that asks a function for another answer each time."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.sql import operations as op
from evolve.sql.steps import Step
from evolve.sql.volatility import VOLATILE

# Stable within a statement or a session only: what passed when the row was written need not pass later.
_CHANGING = frozenset(
    {
        "age",
        "current_catalog",
        "current_database",
        "current_date",
        "current_role",
        "current_schema",
        "current_setting",
        "current_time",
        "current_timestamp",
        "current_user",
        "localtime",
        "localtimestamp",
        "now",
        "session_user",
        "statement_timestamp",
        "transaction_timestamp",
        "user",
    }
)


class CheckVolatile(Rule):
    id = "EV622"
    name = "check-volatile"
    severity = Severity.WARNING
    looks_at = (*LOOKS_AT, op.CreateDomain, op.AlterDomain)
    why = (
        "PostgreSQL asks only when a row is written and takes the answer to hold for ever: rows that pass today fail "
        "when they are updated, when the constraint is validated, and when a dump is restored"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for where, check in _checks(step.operation, history):
            called = [f for f in check.expression.functions if f in VOLATILE or f in _CHANGING]
            if called:
                named = f'the check "{check.name}"' if check.name else "a check"
                yield self.finding(
                    step,
                    f'{named} of "{where}" calls {called[0]}, whose answer changes',
                    fix="compare with a column that the row keeps, or check it in a trigger or in the application",
                )


def _checks(operation: op.Operation, history: History) -> Iterator[tuple[str, op.Check]]:
    match operation:
        case op.CreateDomain(domain=domain, checks=checks):
            yield from ((domain.plain, check) for check in checks)
        case op.AlterDomain(domain=domain, check=op.Check() as check):
            yield domain.plain, check
        case _:
            for table, constraint in added(operation, history):
                if isinstance(constraint, op.Check):
                    yield table.plain, constraint
