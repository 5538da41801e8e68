"""What a role must be allowed for an operation, as PostgreSQL asks it before the operation begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.values import dataclass

Right = Literal[
    "OWNER",
    "DROP",  # its owner's, or that of its schema
    "CREATE",
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "MEMBER",
]
Kind = Literal["table", "schema", "database", "type", "function", "extension", "role"]


@dataclass(frozen=True, slots=True)
class Privilege:
    """
    Args:
        name: of what it is on; of the connected database it is empty.
        role: who needs it; None is whoever connects.
    """

    right: Right
    kind: Kind
    name: QualifiedName
    role: str | None = None


_DATABASE = QualifiedName("", "")


def privileges(operation: op.Operation, schema: Schema, role: str | None = None) -> Iterator[Privilege]:
    """Those that `operation` needs on what is there before it.

    What a DO block, a call, or a statement without a type of its own needs is left out; so are rights on columns.

    Args:
        schema: as it is before the operation.
        role: that runs it; None is whoever connects.
    """

    def on(right: Right, kind: Kind, name: QualifiedName) -> Privilege:
        return Privilege(right, kind, name, role)

    def create_in(namespace: str) -> Privilege:
        return on("CREATE", "schema", QualifiedName(namespace, ""))

    def own(name: QualifiedName, right: Right = "OWNER") -> Iterator[Privilege]:
        if name in schema.tables or name in schema.views or name in schema.sequences:
            yield on(right, "table", name)

    match operation:
        case op.CreateTable(temporary=True):
            pass
        case op.CreateTable(table=name, if_not_exists=True) if name in schema.tables:
            pass
        case op.CreateTable(table=name, partition_of=parent):
            yield create_in(name.schema)
            yield from own(parent) if parent is not None else ()
            for inherited in operation.inherits:
                yield from own(inherited)
            inline = (each for column in operation.columns for each in column.constraints)
            for constraint in (*inline, *operation.constraints):
                yield from _references(constraint, schema, role)
            for read in (*operation.reads, *operation.like):
                if read in schema.tables:
                    yield on("SELECT", "table", read)
        case op.DropTable(table=name) | op.DropView(view=name) | op.DropSequence(sequence=name):
            yield from own(name, "DROP")
        case op.RenameTable(table=name) | op.RenameView(view=name) | op.RenameSequence(sequence=name):
            yield from own(name)
            yield create_in(name.schema)
        case op.MoveToSchema(name=name, to_schema=to):
            yield from own(name)
            yield create_in(to)
        case op.AddConstraint(table=name, constraint=constraint):
            yield from own(name)
            yield from _references(constraint, schema, role)
            if _builds_index(constraint):
                yield create_in(name.schema)
        case op.AddColumn(table=name, column=column):
            yield from own(name)
            for constraint in column.constraints:
                yield from _references(constraint, schema, role)
            if column.serial or column.identity or any(map(_builds_index, column.constraints)):
                yield create_in(name.schema)
        case op.AddIdentity(table=name):
            yield from own(name)
            yield create_in(name.schema)
        case op.CreateIndex(index=op.IndexDefinition(table=name)):
            yield from own(name)
            yield create_in(name.schema)
        case op.DropIndex(index=index) | op.RenameIndex(index=index):
            yield from own(schema.indexes[index].definition.table) if index in schema.indexes else ()
        case op.Reindex(kind="index", name=QualifiedName() as index) if index in schema.indexes:
            yield from own(schema.indexes[index].definition.table)
        case op.Reindex(kind="table", name=QualifiedName() as name):
            yield from own(name)
        case op.AttachPartition(table=name, partition=part) | op.DetachPartition(table=name, partition=part):
            yield from own(name)
            yield from own(part)
        case op.CreateTrigger(table=name) if name in schema.tables:
            yield on("TRIGGER", "table", name)
        case (
            op.AlterTableOther(table=name)
            | op.DropColumn(table=name)
            | op.RenameColumn(table=name)
            | op.AlterColumnType(table=name)
            | op.SetNotNull(table=name)
            | op.DropNotNull(table=name)
            | op.SetDefault(table=name)
            | op.DropDefault(table=name)
            | op.DropIdentity(table=name)
            | op.SetExpression(table=name)
            | op.DropExpression(table=name)
            | op.DropConstraint(table=name)
            | op.ValidateConstraint(table=name)
            | op.RenameConstraint(table=name)
            | op.DropTrigger(table=name)
            | op.RenameTrigger(table=name)
            | op.CreatePolicy(table=name)
            | op.AlterPolicy(table=name)
            | op.DropPolicy(table=name)
            | op.AlterSequence(sequence=name)
            | op.RenameViewColumn(view=name)
            | op.RefreshMaterializedView(view=name)
        ):
            yield from own(name)
        case op.CreateView(view=name, replace=replace):
            if replace and name in schema.views:
                yield from own(name)
            yield create_in(name.schema)
        case op.CreateEnum(type=name) | op.CreateDomain(domain=name) | op.CreateSequence(sequence=name):
            yield create_in(name.schema)
        case op.CreateFunction(function=name):
            yield create_in(name.schema)
            if operation.replace and name in schema.functions:
                yield on("OWNER", "function", name)
        case op.AddEnumValue(type=name) | op.RenameEnumValue(type=name) | op.RenameType(type=name):
            yield from _own_type(name, schema, role)
        case op.DropType(type=name) | op.AlterDomain(domain=name):
            yield from _own_type(name, schema, role)
        case op.AlterFunction(function=name) | op.DropFunction(function=name) if name in schema.functions:
            yield on("OWNER", "function", name)
        case op.CreateSchema():
            # Asked for also where IF NOT EXISTS finds it there.
            yield on("CREATE", "database", _DATABASE)
        case op.DropSchema(schema=namespace) | op.RenameSchema(schema=namespace):
            if namespace in schema.schemas:
                yield on("OWNER", "schema", QualifiedName(namespace, ""))
            if isinstance(operation, op.RenameSchema):
                yield on("CREATE", "database", _DATABASE)
        case op.Insert(table=name) if name in schema.tables:
            yield on("INSERT", "table", name)
            for source in operation.sources:
                if source in schema.tables:
                    yield on("SELECT", "table", source)
        case op.Update(table=name) if name in schema.tables:
            yield on("UPDATE", "table", name)
        case op.Delete(table=name) if name in schema.tables:
            yield on("DELETE", "table", name)
        case op.Truncate(tables=names):
            for name in names:
                if name in schema.tables:
                    yield on("TRUNCATE", "table", name)
        case op.Other(kind="CREATE EXTENSION", target=QualifiedName(name)):
            yield on("CREATE", "extension", QualifiedName(name, ""))
        case op.SetParameter(name=parameter, value=str(to)) if parameter.lower() == "role":
            if to.lower() != "none":
                yield Privilege("MEMBER", "role", QualifiedName(to, ""))
        case _:
            pass


def _references(constraint: op.Constraint, schema: Schema, role: str | None) -> Iterator[Privilege]:
    if isinstance(constraint, op.ForeignKey) and constraint.target in schema.tables:
        yield Privilege("REFERENCES", "table", constraint.target, role)


def _builds_index(constraint: op.Constraint) -> bool:
    match constraint:
        case op.PrimaryKey(using_index=using) | op.Unique(using_index=using):
            return using is None
        case op.Exclude():
            return True
        case _:
            return False


def _own_type(name: QualifiedName, schema: Schema, role: str | None) -> Iterator[Privilege]:
    if name in schema.enums or name in schema.domains:
        yield Privilege("OWNER", "type", name, role)
