"""EV284: an enum gets a value that a class of the running release cannot read."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.compat.check import Cause
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.compat.broken import broken, knows_all
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class CompatEnumReader(Rule):
    id = "EV284"
    name = "compat-enum-reader"
    severity = Severity.WARNING
    looks_at = (op.AddEnumValue,)
    breaks_old_code = True
    needs_models = True
    why = (
        "as soon as a row holds the value, the running release raises LookupError where it reads that row. First "
        "deploy a release whose models know the value; store it one release later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        operation = step.operation
        if not isinstance(operation, op.AddEnumValue):
            return
        for table, _ in _columns(operation.type, history):
            for failure in broken(step, history, table, Cause.ENUM_UNREADABLE):
                yield self.finding(
                    step,
                    f'{failure.class_} reads "{table.plain}.{failure.column}" and does not know the value '
                    f'"{failure.detail}"',
                )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        """Where the models of every column of the type could be read."""
        operation = step.operation
        columns = list(_columns(operation.type, history)) if isinstance(operation, op.AddEnumValue) else []
        known = all(knows_all(history, table) and _typed(history, table, column) for table, column in columns)
        return ("enum-add-value",) if columns and known else ()


def _columns(type_: QualifiedName, history: History) -> Iterator[tuple[QualifiedName, str]]:
    for table in history.schema.tables.values():
        for column in table.columns:
            if column.type == str(type_) and history.column_in_use(table.name, column.name):
                yield table.name, column.name


def _typed(history: History, table: QualifiedName, column: str) -> bool:
    """True where it is known what every class takes the column for."""
    assert history.old_models is not None  # noqa: S101 - the caller knows all
    types = [found.type for _, found in history.old_models.columns(table, column)]
    return all(type_ is not None and (type_.sql is not None or type_.values is not None) for type_ in types)
