"""What a change of a column's type is and does where it stands: what the rules about such changes share."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.lint.history import History
from evolve.lint.predicted import predicted
from evolve.lint.rules.columns.dropped_column import is_published
from evolve.sql import operations as op
from evolve.sql.effects import Effect
from evolve.sql.names import QualifiedName
from evolve.sql.parse import types_in
from evolve.sql.schema import Column, Schema
from evolve.sql.steps import Step
from evolve.sql.type_casts import assigned

ZONES = frozenset({"timestamp without time zone", "timestamp with time zone"})


@dataclass(frozen=True, slots=True)
class ChangedType:
    """A change of the type of a column.

    Args:
        in_use: traffic may use the table.
        known: the column as it is before; None where no revision tells.
        old: its type, a domain as its base type; None where no revision tells.
        new: the type it gets, a domain as its base type.
        effect: as in the session's time zone, where the revision has set it.
        blocked: what keeps the type from changing: a view, a generated column or a partition key.
        published: a publication names it, of which the rule publication-column-list tells.
        needs_using: it has no USING and there is no automatic cast.
        stuck_default: the column's default, where it has no automatic cast, which USING does not help.
    """

    operation: op.AlterColumnType
    in_use: bool
    known: Column | None
    old: str | None
    new: str
    effect: Effect
    blocked: str | None
    published: bool
    needs_using: bool
    stuck_default: op.Expression | None

    @property
    def fails(self) -> bool:
        """The server refuses the statement whatever the rows hold."""
        return (
            self.blocked is not None or self.published or self.needs_using or self.stuck_default is not None
        )

    @property
    def table(self) -> QualifiedName:
        return self.operation.table

    @property
    def column(self) -> str:
        return self.operation.column

    def __str__(self) -> str:
        old = (
            f"from {self.known.type}"
            if self.known and self.known.type
            else "from a type that no revision tells"
        )
        return f'"{self.table.plain}.{self.column}" {old} to {self.operation.type}'


def changed_type(step: Step, history: History) -> ChangedType | None:
    """What `step` changes; None where it changes no type."""
    operation = step.operation
    if not isinstance(operation, op.AlterColumnType):
        return None
    schema = history.schema
    known = schema.column(operation.table, operation.column)
    old = _base(known.type, schema) if known and known.type else None
    new = _base(operation.type, schema)
    found = predicted(step, history)
    uncast = old is not None and assigned(old, new, schema) is False
    return ChangedType(
        operation,
        history.in_use(operation.table),
        known,
        old,
        new,
        found,
        found.refused or _blocked(operation, history),
        is_published(schema, operation.table, operation.column),
        uncast and operation.using is None,
        _own_default(operation, known, history) if uncast and operation.using is not None else None,
    )


def _base(type_: str, schema: Schema) -> str:
    domain = schema.domain(type_)
    return domain.base if domain is not None else type_


def _own_default(
    operation: op.AlterColumnType, known: Column | None, history: History
) -> op.Expression | None:
    """The default where it is a literal of the old type; what a function gives may have the new type already."""
    default = known.default if known else None
    # PostgreSQL drops defaults before it changes types, wherever in the statement that stands.
    if default is None or op.DropDefault(operation.table, operation.column) in history.clauses:
        return None
    literal = default.constant or (not default.functions and len(types_in(default)) == 1)
    return default if literal else None


def _blocked(operation: op.AlterColumnType, history: History) -> str | None:
    table = history.schema.table(operation.table)
    if table is None:
        return None
    name = f'"{operation.table.plain}.{operation.column}"'
    for column in table.columns:
        if column.generation is not None and operation.column in column.generation.columns:
            return f'{name} is used by the generated column "{column.name}"'
    if table.partition_by is not None and operation.column in table.partition_by.keys:
        return f"{name} is part of the table's partition key"
    return None
