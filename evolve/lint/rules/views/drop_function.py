"""EV255: `DROP FUNCTION` or `DROP PROCEDURE` of one in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.made import new_function
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.views.recreated import function_again
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.sql.steps import Step


class DropFunction(Rule):
    id = "EV255"
    name = "drop-function"
    severity = Severity.WARNING
    peers = ("squawk:ban-drop-function",)
    looks_at = (op.DropFunction,)
    breaks_old_code = True
    answered_by_gate = True
    why = (
        "code that still calls it fails, and so do functions that call it, which PostgreSQL does not know of; drop it "
        "one release after the last code that used it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropFunction(function=function, cascade=cascade):
                # Nothing but a trigger calls a trigger's function, and that is gone.
                freed = function in history.freed_functions
                if freed or new_function(history, function) or function_again(step, function, history):
                    return
                trigger = next(_triggers(history.schema, function), None)
                refused = trigger is not None and not cascade
                needed = f", which is refused: {trigger} needs it" if refused else ""
                yield self.finding(step, f'the function "{function.plain}" is dropped{needed}', fails=refused)
            case _:
                return


def _triggers(schema: Schema, function: QualifiedName) -> Iterator[str]:
    for table in schema.tables.values():
        for trigger in table.trigger_list:
            if trigger.function == function:
                yield f'the trigger "{trigger.name}" of "{table.name.plain}"'
