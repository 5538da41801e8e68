"""EV253: a value of an enum in use gets another name."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.made import columns_in_use, new_type
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class EnumRenameValue(Rule):
    id = "EV253"
    name = "enum-rename-value"
    severity = Severity.ERROR
    looks_at = (op.RenameEnumValue,)
    breaks_old_code = True
    breaks_new_code = True
    peers = ("strong_migrations:rename_enum_value",)
    why = (
        "code that runs knows one of the two: it raises LookupError where it reads the new one, and the server "
        "refuses the old one where it is written; add a value, move the rows, and stop using the old one"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.RenameEnumValue(type=name, value=value, to=to) if not new_type(history, name):
                if columns_in_use(history, name) or name not in history.schema.enums:
                    yield self.finding(
                        step, f'the value "{value}" of "{name.plain}" becomes "{to}", and no code knows both'
                    )
            case _:
                return
