"""EV289: a primary key that a class of the running release leaves to the database loses what makes its values."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.compat.check import Cause, Failure
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.compat.broken import broken, knows_all
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class CompatPkDefault(Rule):
    id = "EV289"
    name = "compat-pk-default"
    severity = Severity.ERROR
    looks_at = (op.DropDefault, op.DropIdentity)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "SQLAlchemy leaves an integer key out of the INSERT and asks for the value that the database made; without a "
        "default there is none, and every INSERT fails. First deploy a model that makes the key itself"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for failure in _keys(step, history):
            yield self.finding(
                step,
                f'{failure.class_} leaves the key "{failure.table.plain}.{failure.column}" to the database, which '
                "makes none from now on",
                table=failure.table,
            )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        """Where it has something to say, and where no class leaves the column out."""
        match step.operation:
            case op.DropDefault(table, column) | op.DropIdentity(table, column):
                pass
            case _:
                return ()
        every = list(broken(step, history, table))
        mapped = history.old_models is not None and history.old_models.maps_column(table, column)
        answered = any(True for _ in _keys(step, history)) or (
            mapped and not every and knows_all(history, table) and history.column_in_use(table, column)
        )
        return ("drop-default", "drop-identity") if answered else ()


def _keys(step: Step, history: History) -> Iterator[Failure]:
    match step.operation:
        case op.DropDefault(table, column) | op.DropIdentity(table, column) if history.column_in_use(
            table, column
        ):
            for failure in broken(step, history, table, Cause.DEFAULT_MISSING):
                key = history.schema.tables[table].primary_key
                if key is not None and column in key.columns:
                    yield failure
        case _:
            return
