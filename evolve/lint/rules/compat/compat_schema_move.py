"""EV291: a table moves to another schema, and the models go on looking for it where it was."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class CompatSchemaMove(Rule):
    id = "EV291"
    name = "compat-schema-move"
    severity = Severity.ERROR
    looks_at = (op.MoveToSchema,)
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "SQLAlchemy looks for a table where its model says, and without a schema where the search_path of the "
        "connection leads: every statement fails. Leave a view in the old place, or give the model the new schema and "
        "move the table one release later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.MoveToSchema(kind="table", name=name, to_schema=to) if history.in_use(name):
                pass
            case _:
                return
        models = history.new_models
        moved = QualifiedName(name.name, to)
        if models is None or not models.maps_table(name) or models.maps_table(moved):
            return
        if not any(
            isinstance(later.operation, op.CreateView) and later.operation.view == name
            for later in history.later()
        ):
            class_ = models.of(name)[0].class_
            yield self.finding(
                step, f'{class_} ({models.where}) still looks for "{name.name}" in the schema "{name.schema}"'
            )
