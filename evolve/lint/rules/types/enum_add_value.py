"""EV252: a value is added to an enum that running code reads."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.made import columns_in_use, new_type
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class EnumAddValue(Rule):
    id = "EV252"
    name = "enum-add-value"
    severity = Severity.WARNING
    looks_at = (op.AddEnumValue,)
    breaks_old_code = True
    peers = ("squawk:ban-add-enum-value",)
    why = (
        "once a row holds it, a release whose sa.Enum does not list it raises LookupError where it reads that row; "
        "deploy a release that knows the value everywhere before one that stores it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddEnumValue(type=name, value=value) if not new_type(history, name):
                columns = columns_in_use(history, name)
                if not columns and name in history.schema.enums:
                    return
                readers = (
                    listed([f"{table.plain}.{column}" for table, column in columns]) if columns else "it"
                )
                yield self.finding(
                    step, f'code that reads {readers} may meet the value "{value}", which it does not know'
                )
            case _:
                return
