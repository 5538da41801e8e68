"""EV671: a statement changes or drops what its table does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class NameNotThere(Rule):
    id = "EV671"
    name = "name-not-there"
    severity = Severity.ERROR
    looks_at = (
        op.DropColumn,
        op.RenameColumn,
        op.AlterColumnType,
        op.SetNotNull,
        op.DropNotNull,
        op.SetDefault,
        op.DropDefault,
        op.AddIdentity,
        op.DropIdentity,
        op.AddColumn,
        op.AddConstraint,
        op.CreateIndex,
        op.CreateTable,
        op.DropConstraint,
        op.ValidateConstraint,
        op.RenameConstraint,
        op.DropTrigger,
        op.AddEnumValue,
        op.RenameEnumValue,
    )
    fails = True
    opt_in = True
    why = (
        "the revisions that made the table did not make it, or an earlier one has dropped or renamed it: PostgreSQL "
        "refuses, on every database that ran them"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        missing = _missing(step.operation, history)
        if missing is not None and certain(step, history):
            yield self.finding(step, missing)

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return WHERE_REFUSED if any(self.check(step, history)) else ()


def _missing(operation: op.Operation, history: History) -> str | None:
    match operation:
        case (
            op.DropColumn(table, column, if_exists=False)
            | op.RenameColumn(table, column)
            | op.AlterColumnType(table, column)
            | op.SetNotNull(table, column)
            | op.DropNotNull(table, column)
            | op.SetDefault(table, column)
            | op.DropDefault(table, column)
            | op.AddIdentity(table, column)
            | op.DropIdentity(table, column, if_exists=False)
        ):
            return _columns(table, (column,), history)
        case op.CreateIndex(index):
            where = index.where.columns if index.where is not None else ()
            return _columns(index.table, (*_of_keys(index.keys), *index.include, *where), history)
        case op.AddConstraint(table, constraint):
            return _of_constraint(table, constraint, history)
        case op.AddColumn(table, column, if_not_exists=False):
            computed = column.generation.columns if column.generation is not None else ()
            missing = (_of_constraint(table, constraint, history) for constraint in column.constraints)
            return _columns(table, computed, history) or next(filter(None, missing), None)
        case op.CreateTable(if_not_exists=False):
            return _of_new_table(operation, history)
        case op.DropConstraint(table, name, if_exists=False):
            return _constraint(table, name, history)
        case op.ValidateConstraint(table, name) | op.RenameConstraint(table, name):
            return _constraint(table, name, history)
        case op.DropTrigger(table, name, if_exists=False):
            found = history.schema.table(table)
            if found is None or found.implied or name in found.triggers or found.partition_of is not None:
                return None
            return f'"{table.plain}" has no trigger "{name}"'
        case op.AddEnumValue(type_name, before=str(value)) | op.AddEnumValue(type_name, after=str(value)):
            return _value(type_name, value, history)
        case op.RenameEnumValue(type_name, value):
            return _value(type_name, value, history)
        case _:
            return None


# A partition key that is an expression stands as its SQL.
_IS_NAME = re.compile(r"\w+")
# What every table has without being told.
_OF_THE_SYSTEM = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


def _of_keys(keys: Sequence[op.IndexKey]) -> Iterator[str]:
    for key in keys:
        if key.column is not None:
            yield key.column
        elif key.expression is not None:
            yield from key.expression.columns


def _of_constraint(table: QualifiedName, constraint: op.Constraint, history: History) -> str | None:
    missing = _columns(table, _named(constraint), history)
    match constraint:
        case op.ForeignKey(target=target, target_columns=columns):
            return missing or _columns(target, columns, history)
        case op.PrimaryKey(using_index=str(index)) | op.Unique(using_index=str(index)):
            found = history.schema.table(table)
            whole = found is not None and not found.implied and not history.schema.gaps
            if whole and QualifiedName(index, table.schema) not in history.schema.indexes:
                return f'"{table.plain}" has no index "{index}"'
            return missing
        case _:
            return missing


def _named(constraint: op.Constraint) -> tuple[str, ...]:
    """The columns of its own table that it names."""
    match constraint:
        case op.ForeignKey(columns=columns):
            return columns
        case op.PrimaryKey(columns=columns, include=include) | op.Unique(columns=columns, include=include):
            return (*columns, *include)
        case op.Check(expression=expression):
            return expression.columns
        case op.Exclude(keys=keys, where=where):
            return (*_of_keys(keys), *(where.columns if where is not None else ()))
        case op.NotNull(column=column):
            return (column,)


def _of_new_table(made: op.CreateTable, history: History) -> str | None:
    """What the statement names and does not define; nothing where columns come from elsewhere as well."""
    if made.like or made.inherits or made.partition_of is not None or made.as_query or not made.columns:
        return None
    own = {column.name for column in made.columns}
    constraints = (*made.constraints, *(each for column in made.columns for each in column.constraints))
    named = [name for constraint in constraints for name in _named(constraint)]
    named += [name for column in made.columns if column.generation for name in column.generation.columns]
    if made.partition_by is not None:
        named += [key for key in made.partition_by.keys if _IS_NAME.fullmatch(key)]
    missing = [name for name in dict.fromkeys(named) if name not in own | _OF_THE_SYSTEM | {made.table.name}]
    if missing:
        return f'"{made.table.plain}" has no {_columns_called(missing)}'
    for constraint in constraints:
        if isinstance(constraint, op.ForeignKey) and constraint.target != made.table:
            told = _columns(constraint.target, constraint.target_columns, history)
            if told is not None:
                return told
    return None


def _columns(table: QualifiedName, named: Sequence[str], history: History) -> str | None:
    found = history.schema.table(table)
    if found is None or found.implied:
        return None
    # PostgreSQL adds columns before it looks at what else is done with them.
    added = {clause.column.name for clause in history.clauses if isinstance(clause, op.AddColumn)}
    # A table's name stands for its whole row.
    there = {*added, *_OF_THE_SYSTEM, table.name}
    missing = [name for name in dict.fromkeys(named) if found.column(name) is None and name not in there]
    if not missing:
        return None
    return f'"{table.plain}" has no {_columns_called(missing)}'


def _columns_called(names: Sequence[str]) -> str:
    return f"{'column' if len(names) == 1 else 'columns'} {listed(names)}"


def _constraint(table: QualifiedName, name: str, history: History) -> str | None:
    """Only where it is known to be an index, or gone: env.py may name constraints by a convention of its own."""
    found = history.schema.table(table)
    if found is None or found.implied or found.constraint(name) is not None:
        return None
    if any(isinstance(c, op.AddConstraint) and c.constraint.name == name for c in history.clauses):
        return None
    if QualifiedName(name, table.schema) in history.schema.indexes:
        return f'"{table.plain}" has no constraint "{name}": that is an index, which op.drop_index() drops'
    if any(
        isinstance(earlier.operation, op.DropConstraint)
        and (earlier.operation.table, earlier.operation.name) == (table, name)
        for earlier in history.steps
    ):
        return f'"{table.plain}" has no constraint "{name}" any more'
    return None


def _value(type_name: QualifiedName, value: str, history: History) -> str | None:
    known = history.schema.enums.get(type_name)
    if known is None or value in known.values:
        return None
    return f'"{type_name.plain}" has no value "{value}"'
