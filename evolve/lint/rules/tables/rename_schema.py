"""EV246: `ALTER SCHEMA … RENAME` of a schema in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.made import new_schema
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class RenameSchema(Rule):
    id = "EV246"
    name = "rename-schema"
    severity = Severity.ERROR
    looks_at = (op.RenameSchema,)
    breaks_old_code = True
    breaks_new_code = True
    peers = ("strong_migrations:rename_schema",)
    why = (
        "code that runs knows one of the two names, in its statements or in its search_path; functions that name "
        "the schema in their text fail when they are called. Make the new schema beside it, with views"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.RenameSchema(schema=name, to=to) if not new_schema(history, name):
                yield self.finding(
                    step, f'the schema "{name}" becomes "{to}" at one instant, and no code knows both names'
                )
            case _:
                return
