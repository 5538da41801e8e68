"""EV425: `DROP SCHEMA` with what is in it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.made import new_schema
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DropSchema(Rule):
    id = "EV425"
    name = "drop-schema"
    severity = Severity.ERROR
    looks_at = (op.DropSchema,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    peers = ("squawk:ban-drop-schema",)
    why = (
        "every table, view, function and type in it goes, with all rows and with whatever elsewhere depends on "
        "them; drop them by name, each when no code uses it any more, and the empty schema last"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropSchema(schema=name, cascade=cascade) if not new_schema(history, name):
                relations = _relations(history, name)
                if not relations and not cascade:
                    return  # PostgreSQL itself refuses to drop one that is not empty
                table = next((each for each in relations if history.in_use(each)), None)
                held = f" with {listed([each.plain for each in relations])}" if relations else ""
                message = f'the schema "{name}" is dropped{held or " with all that is in it"}'
                if not cascade:
                    message = f'the schema "{name}" is not empty{held and f": it holds{held[5:]}"}'
                yield self.finding(step, message, table=table if cascade else None, fails=not cascade)
            case _:
                return


def _relations(history: History, name: str) -> list[QualifiedName]:
    return [each for each in (*history.schema.tables, *history.schema.views) if each.schema == name]
