"""EV671: a statement changes or drops what its table does not have."""

from __future__ import annotations

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
        op.AddConstraint,
        op.CreateIndex,
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
            keys = tuple(key.column for key in index.keys if key.column is not None)
            return _columns(index.table, (*keys, *index.include), history)
        case op.AddConstraint(table, op.ForeignKey() as key):
            return _columns(table, key.columns, history) or _columns(key.target, key.target_columns, history)
        case op.AddConstraint(table, op.PrimaryKey() | op.Unique() as key):
            return _columns(table, key.columns, history)
        case op.AddConstraint(table, op.Check() as check):
            return _columns(table, check.expression.columns, history)
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


# What every table has without being told.
_OF_THE_SYSTEM = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


def _columns(table: QualifiedName, named: Sequence[str], history: History) -> str | None:
    found = history.schema.table(table)
    if found is None or found.implied:
        return None
    # PostgreSQL adds columns before it looks at what else is done with them.
    added = {clause.column.name for clause in history.clauses if isinstance(clause, op.AddColumn)}
    missing = [c for c in named if found.column(c) is None and c not in added and c not in _OF_THE_SYSTEM]
    if not missing:
        return None
    kind = "column" if len(missing) == 1 else "columns"
    return f'"{table.plain}" has no {kind} {listed(missing)}'


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
