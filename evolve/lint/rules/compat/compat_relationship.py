"""EV290: a foreign key loses the action that a relationship of the running release counts on."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.compat.models import MappedTable
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

_ACTS = ("CASCADE", "SET NULL", "SET DEFAULT")


class CompatRelationship(Rule):
    id = "EV290"
    name = "compat-relationship"
    severity = Severity.WARNING
    looks_at = (op.DropConstraint,)
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "passive_deletes leaves the children of a deleted parent to ON DELETE of the foreign key: without it, deleting "
        "a parent fails, or leaves children behind where no foreign key is left. First deploy a model that deletes them"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropConstraint(table, name) if history.in_use(table):
                found = history.schema.table(table)
                key = found.constraint(name) if found is not None else None
            case _:
                return
        if not isinstance(key, op.ForeignKey) or key.on_delete not in _ACTS or history.old_models is None:
            return
        if any(
            isinstance(later.operation, op.AddConstraint)
            and isinstance(later.operation.constraint, op.ForeignKey)
            and later.operation.table == table
            and later.operation.constraint.columns == key.columns
            and later.operation.constraint.on_delete in _ACTS
            for later in history.later()
        ):
            return
        children = {mapped.class_ for mapped in history.old_models.of(table)}
        for parent in history.old_models.of(key.target):
            for attribute in _passive(parent, children):
                yield self.finding(
                    step,
                    f'{parent.class_}.{attribute} leaves rows of "{table.plain}" to ON DELETE {key.on_delete}, which '
                    "goes with the foreign key",
                )


def _passive(parent: MappedTable, children: set[str]) -> Iterator[str]:
    for relationship in parent.relationships:
        if relationship.passive_deletes and not relationship.viewonly and relationship.target in children:
            yield relationship.attribute
