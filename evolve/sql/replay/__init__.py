"""Replay: change a `Schema` as PostgreSQL would, operation by operation."""

from __future__ import annotations

from typing import assert_never

from evolve.sql import operations as op
from evolve.sql.replay import (
    columns,
    constraints,
    drops,
    indexes,
    kinds,
    managed,
    partitions,
    policies,
    publications,
    renames,
    tables,
)
from evolve.sql.replay.edit import know
from evolve.sql.routines import remember
from evolve.sql.schema import Schema


def apply(schema: Schema, operation: op.Operation) -> None:
    """Change `schema` in place as `operation` would change a database.

    What names an unknown table makes that table implied. A statement that the server would refuse never raises;
    it changes nothing, or what of it makes sense.
    """
    remember(schema.functions, operation)
    match operation:
        case op.CreateTable():
            tables.create(schema, operation)
        case op.DropTable(table=name):
            drops.table(schema, name)
        case op.RenameTable(table=name, to=to):
            renames.relation(schema, name, to)
        case op.MoveToSchema():
            renames.move(schema, operation)
        case op.AlterTableOther():
            tables.alter_other(schema, operation)
        case op.AddColumn():
            columns.add(schema, operation)
        case op.DropColumn(table=name, column=column, only=only):
            drops.column(schema, know(schema, name), column, only=only)
        case op.RenameColumn(table=name, column=column, to=to):
            renames.column(schema, know(schema, name), column, to)
        case op.AlterColumnType():
            columns.alter_type(schema, operation)
        case op.SetNotNull(table=name, column=column, only=only):
            columns.set_not_null(schema, know(schema, name), column, only=only)
        case op.DropNotNull(table=name, column=column, only=only):
            columns.drop_not_null(schema, know(schema, name), column, only=only)
        case op.SetDefault(table=name, column=column, default=default, only=only):
            columns.set_default(schema, know(schema, name), column, default, only=only)
        case op.DropDefault(table=name, column=column, only=only):
            columns.set_default(schema, know(schema, name), column, None, only=only)
        case op.AddIdentity(table=name, column=column, identity=identity):
            columns.add_identity(schema, know(schema, name), column, identity)
        case op.DropIdentity(table=name, column=column):
            columns.drop_identity(schema, know(schema, name), column)
        case op.SetExpression(table=name, column=column, expression=expression):
            columns.set_expression(schema, know(schema, name), column, expression)
        case op.DropExpression(table=name, column=column):
            columns.drop_expression(schema, know(schema, name), column)
        case op.AddConstraint(table=name, constraint=constraint, only=only):
            constraints.add(schema, know(schema, name), constraint, only=only)
        case op.DropConstraint(table=name, name=constraint_name, only=only):
            drops.constraint(schema, know(schema, name), constraint_name, only=only)
        case op.ValidateConstraint(table=name, name=constraint_name):
            constraints.validate(schema, know(schema, name), constraint_name)
        case op.RenameConstraint(table=name, name=constraint_name, to=to):
            renames.constraint(schema, know(schema, name), constraint_name, to)
        case op.AttachPartition(table=name, partition=partition, bound=bound):
            partitions.attach(schema, know(schema, name), know(schema, partition), bound)
        case op.DetachPartition(table=name, partition=partition):
            partitions.detach(schema, know(schema, name), know(schema, partition))
        case op.CreateIndex():
            indexes.create(schema, operation)
        case op.DropIndex(index=name):
            drops.index(schema, name)
        case op.RenameIndex(index=name, to=to):
            renames.relation(schema, name, to)
        case op.AttachIndex(index=name, partition_index=partition):
            indexes.attach(schema, name, partition)
        case op.Reindex():
            indexes.rebuild(schema, operation)
        case op.CreateEnum() | op.AddEnumValue() | op.RenameEnumValue():
            kinds.change_enum(schema, operation)
        case op.RenameType(type=name, to=to):
            renames.type_(schema, name, to)
        case op.DropType(type=name):
            drops.type_(schema, name)
        case op.CreateDomain() | op.AlterDomain():
            kinds.change_domain(schema, operation)
        case op.CreateSequence() | op.AlterSequence():
            kinds.change_sequence(schema, operation)
        case op.RenameSequence(sequence=name, to=to):
            renames.relation(schema, name, to)
        case op.DropSequence(sequence=name):
            drops.sequence(schema, name)
        case op.CreateView():
            tables.create_view(schema, operation)
        case op.DropView(view=name):
            drops.view(schema, name)
        case op.RenameView(view=name, to=to):
            renames.relation(schema, name, to)
        case op.RenameViewColumn(view=name, column=column, to=to):
            renames.view_column(schema, name, column, to)
        case op.DropFunction(function=name, cascade=cascade):
            drops.function(schema, name, cascade=cascade)
        case op.CreateTrigger():
            tables.create_trigger(schema, operation)
        case op.DropTrigger(table=name, name=trigger):
            tables.drop_trigger(schema, know(schema, name), trigger)
        case op.RenameTrigger(table=name, name=trigger, to=to):
            tables.rename_trigger(schema, know(schema, name), trigger, to)
        case op.CreatePolicy() | op.AlterPolicy() | op.DropPolicy():
            policies.change(schema, operation)
        case op.CreateSchema(schema=namespace):
            schema.schemas.add(namespace)
        case op.DropSchema(schema=namespace):
            drops.namespace(schema, namespace)
        case op.RenameSchema(schema=namespace, to=to):
            renames.namespace(schema, namespace, to)
        case op.Insert(table=name) | op.Update(table=name) | op.Delete(table=name):
            know(schema, name)
        case op.Truncate(tables=names) | op.LockTable(tables=names):
            for name in names:
                know(schema, name)
        case op.Copy(table=target):
            if target is not None:
                know(schema, target)
        case op.ChangePublication():
            publications.change(schema, operation)
        case op.Query():
            managed.follow(schema, operation)
        case op.RefreshMaterializedView():
            tables.refresh_view(schema, operation)
        case op.Other(kind="CREATE EXTENSION", target=extension) if extension is not None:
            schema.extensions.add(extension.name)
        case op.Other(kind="DROP EXTENSION", target=extension) if extension is not None:
            schema.extensions.discard(extension.name)
        case (
            op.CreateFunction()
            | op.AlterFunction()
            | op.SetParameter()
            | op.TransactionControl()
            | op.Other()
        ):
            pass
        case op.DoBlock(gaps=gaps):
            if gaps:
                schema.gaps.add("statement")
        case op.Unread():
            schema.gaps.add("statement")
        case _:
            assert_never(operation)
