"""EV845: autovacuum is turned off for a table and stays so."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

_PARAMETERS = ("autovacuum_enabled", "toast.autovacuum_enabled")
_ON = ("true", "on", "1", "yes")


class AutovacuumDisabled(Rule):
    id = "EV845"
    name = "autovacuum-disabled"
    severity = Severity.WARNING
    looks_at = (op.AlterTableOther, op.CreateTable)
    why = (
        "dead rows pile up, the table grows, its statistics age and plans go wrong, until the whole server has to "
        "vacuum it against wraparound; make autovacuum slower or rarer for it instead"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = _turned_off(step.operation)
        if table is None or any(_turned_on(later.operation) == table for later in history.later()):
            return
        yield self.finding(step, f'"{table.plain}" is not vacuumed any more')


def _turned_off(operation: op.Operation) -> QualifiedName | None:
    match operation:
        case op.AlterTableOther(table=table, clause="set parameters", settings=settings):
            pass
        case op.CreateTable(table=table, settings=settings, temporary=False):
            pass
        case _:
            return None
    off = any(name in _PARAMETERS and value.lower() not in _ON for name, value in settings)
    return table if off else None


def _turned_on(operation: op.Operation) -> QualifiedName | None:
    match operation:
        case op.AlterTableOther(table=table, clause="reset parameters", detail=str(names)):
            return table if "autovacuum_enabled" in names.split(", ") else None
        case op.AlterTableOther(table=table, clause="set parameters", settings=settings):
            on = any(name in _PARAMETERS and value.lower() in _ON for name, value in settings)
            return table if on else None
        case _:
            return None
