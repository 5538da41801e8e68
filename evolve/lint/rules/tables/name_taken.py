"""EV670: what a statement makes is there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.sql.steps import Step


class NameTaken(Rule):
    id = "EV670"
    name = "name-taken"
    severity = Severity.ERROR
    looks_at = (
        op.AddColumn,
        op.RenameColumn,
        op.AddConstraint,
        op.CreateTable,
        op.CreateIndex,
        op.CreateView,
        op.CreateSequence,
        op.CreateTrigger,
        op.CreatePolicy,
        op.AddEnumValue,
        op.RenameEnumValue,
        op.RenameTable,
    )
    fails = True
    opt_in = True
    why = (
        "the revisions before this one have made it: on every database that ran them PostgreSQL refuses, as it does "
        "where a change reached the database by hand first and the revision was made from it afterwards"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        taken = _taken(step.operation, history.schema)
        if taken is not None and not _given_up(taken, history) and certain(step, history):
            yield self.finding(step, f"{taken[0]} is there already")

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return WHERE_REFUSED if any(self.check(step, history)) else ()


def _taken(operation: op.Operation, schema: Schema) -> tuple[str, str] | None:
    """What is in the way, in words, and its bare name."""
    match operation:
        case op.AddColumn(table, column, if_not_exists=False):
            return _column(schema, table, column.name)
        case op.RenameColumn(table, _, to):
            return _column(schema, table, to)
        case op.AddConstraint(table, constraint):
            return _constraint(schema, table, constraint)
        case op.CreateTable(table, columns, if_not_exists=False):
            return _relation(schema, table) or _twice(table, columns)
        case op.RenameTable(table, to):
            return _relation(schema, QualifiedName(to, table.schema)) if table in schema.tables else None
        case op.CreateIndex(index, if_not_exists=False) if index.name is not None:
            return _relation(schema, QualifiedName(index.name, index.table.schema))
        case op.CreateView(view, replace=False, if_not_exists=False):
            return _relation(schema, view)
        case op.CreateSequence(sequence, if_not_exists=False):
            return _relation(schema, sequence)
        case op.CreateTrigger(table, name, replace=False):
            found = schema.table(table)
            return (
                (f'trigger "{name}" of "{table.plain}"', name) if found and name in found.triggers else None
            )
        case op.CreatePolicy(table, name):
            found = schema.table(table)
            return (f'policy "{name}" of "{table.plain}"', name) if found and name in found.policies else None
        case op.AddEnumValue(type_name, value, if_not_exists=False) | op.RenameEnumValue(type_name, _, value):
            known = schema.enums.get(type_name)
            return (f'"{value}" of "{type_name.plain}"', value) if known and value in known.values else None
        case _:
            return None


def _twice(table: QualifiedName, columns: Sequence[op.ColumnDefinition]) -> tuple[str, str] | None:
    names = [column.name for column in columns]
    again = next((name for position, name in enumerate(names) if name in names[:position]), None)
    return (f'column "{table.plain}.{again}"', again) if again is not None else None


def _column(schema: Schema, table: QualifiedName, name: str) -> tuple[str, str] | None:
    known = schema.column(table, name)
    # A column without a type is one that a statement named before any revision made it.
    return (f'column "{table.plain}.{name}"', name) if known is not None and known.type else None


def _constraint(schema: Schema, table: QualifiedName, constraint: op.Constraint) -> tuple[str, str] | None:
    found = schema.table(table)
    if found is None:
        return None
    key = found.primary_key
    if isinstance(constraint, op.PrimaryKey) and key is not None:
        return f'primary key "{key.name}" of "{table.plain}"', key.name or ""
    name = constraint.name
    if name is None:
        return None
    if found.constraint(name) is not None:
        return f'constraint "{name}" of "{table.plain}"', name
    if isinstance(constraint, op.PrimaryKey | op.Unique) and constraint.using_index is None:
        return _relation(schema, QualifiedName(name, table.schema))
    return None


def _relation(schema: Schema, name: QualifiedName) -> tuple[str, str] | None:
    table = schema.table(name)
    if table is not None:
        return None if table.implied else (f'table "{name.plain}"', name.name)
    for kind, known in (("view", schema.views), ("index", schema.indexes), ("sequence", schema.sequences)):
        if name in known:
            return f'{kind} "{name.plain}"', name.name
    return None


def _given_up(taken: tuple[str, str], history: History) -> bool:
    """PostgreSQL drops before it adds, wherever in an ALTER TABLE that stands."""
    return any(
        isinstance(clause, op.DropColumn | op.DropConstraint)
        and taken[1] == (clause.column if isinstance(clause, op.DropColumn) else clause.name)
        for clause in history.clauses
    )
