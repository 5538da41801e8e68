"""EV431: a column is moved to an enum that lacks some of its values."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.schema import Enum, Schema
from evolve.sql.steps import Step


class EnumDropValue(Rule):
    id = "EV431"
    name = "enum-drop-value"
    severity = Severity.ERROR
    looks_at = (op.AlterColumnType,)
    breaks_old_code = True
    why = (
        "the statement fails where a row still holds such a value, and code that runs fails where it writes one; "
        "leave the value in the type and stop using it, or keep it out with a CHECK constraint"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterColumnType(table=table, column=column, type=type_) if history.column_in_use(
                table, column
            ):
                known = history.schema.column(table, column)
                old = _enum(history.schema, known.type) if known is not None else None
                new = _enum(history.schema, type_)
                if old is None or new is None:
                    return
                lost = [value for value in old.values if value not in new.values]
                if lost:
                    yield self.finding(
                        step,
                        f'"{table.plain}.{column}" can no longer hold {listed(lost)}',
                    )
            case _:
                return


def _enum(schema: Schema, type_: str) -> Enum | None:
    return next((enum for name, enum in schema.enums.items() if type_ in (str(name), f"{name}[]")), None)
