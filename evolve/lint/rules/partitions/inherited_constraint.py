"""EV677: a partition or a child table drops or renames a constraint or a trigger that it has from its parent."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.replay.constraints import twin_key
from evolve.sql.schema import Schema, Table
from evolve.sql.steps import Step


class InheritedConstraint(Rule):
    id = "EV677"
    name = "inherited-constraint"
    severity = Severity.ERROR
    looks_at = (op.DropConstraint, op.RenameConstraint, op.DropTrigger, op.RenameTrigger)
    fails = True
    why = (
        "a constraint or trigger that a partition or a child table has from its parent is dropped and renamed on the "
        "parent, which does it to all of them: PostgreSQL refuses it on one alone"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropConstraint(table, name) | op.RenameConstraint(table, name):
                found = history.schema.table(table)
            case op.DropTrigger(table, name) | op.RenameTrigger(table, name):
                yield from self._trigger(step, table, name, history)
                return
            case _:
                return
        constraint = found.constraint(name) if found is not None else None
        if found is None or constraint is None:
            return
        renamed = isinstance(step.operation, op.RenameConstraint)
        parent = _parent(history.schema, found, constraint, renamed=renamed)
        if parent is not None and certain(step, history):
            yield self.finding(
                step,
                f'"{found.name.plain}" has the constraint "{name}" from "{parent.plain}"',
                fix=f'{"rename" if renamed else "drop"} it on "{parent.plain}"',
            )

    def _trigger(self, step: Step, table: QualifiedName, name: str, history: History) -> Iterator[Finding]:
        """A trigger FOR EACH ROW of a partitioned table has a twin on each partition."""
        found = history.schema.table(table)
        parent = history.schema.table(found.partition_of) if found and found.partition_of else None
        inherited = parent is not None and any(t.row and t.name == name for t in parent.trigger_list)
        renamed = isinstance(step.operation, op.RenameTrigger)
        if parent is None or not inherited or (renamed and history.postgres_version < 15):
            return
        if certain(step, history):
            yield self.finding(
                step,
                f'"{table.plain}" has the trigger "{name}" from "{parent.name.plain}"',
                fix=f'{"rename" if renamed else "drop"} it on "{parent.name.plain}"',
            )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return (*WHERE_REFUSED, "drop-trigger") if any(self.check(step, history)) else ()


def _parent(
    schema: Schema, table: Table, constraint: op.Constraint, *, renamed: bool
) -> QualifiedName | None:
    """The table that `constraint` came from; that of a key may have another name there, and keeps its own."""
    above = (table.partition_of,) if table.partition_of is not None else table.inherits
    match constraint:
        case op.Check(no_inherit=False):
            return next((parent for parent in above if _has_check(schema, parent, constraint.name)), None)
        case op.PrimaryKey() | op.Unique() | op.Exclude() if not renamed:
            index = schema.indexes.get(QualifiedName(constraint.name or "", table.name.schema))
            part_of = schema.indexes.get(index.partition_of) if index and index.partition_of else None
            return part_of.definition.table if part_of is not None else None
        case op.ForeignKey() if table.partition_of is not None and not renamed:
            parent = schema.table(table.partition_of)
            keys = parent.foreign_keys if parent is not None else ()
            return table.partition_of if any(twin_key(table, key) == constraint for key in keys) else None
        case _:
            return None


def _has_check(schema: Schema, table: QualifiedName, name: str | None) -> bool:
    found = schema.table(table)
    twin = found.constraint(name or "") if found is not None else None
    return isinstance(twin, op.Check) and not twin.no_inherit
