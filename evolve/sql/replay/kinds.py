"""Enums, domains and sequences."""

from __future__ import annotations

from dataclasses import replace

from evolve.sql import default_names
from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    AddEnumValue,
    AlterDomain,
    AlterSequence,
    Check,
    CreateDomain,
    CreateEnum,
    CreateSequence,
    RenameEnumValue,
)
from evolve.sql.parse import rename_value
from evolve.sql.schema import Domain, Enum, Schema, Sequence


def change_enum(schema: Schema, operation: CreateEnum | AddEnumValue | RenameEnumValue) -> None:
    match operation:
        case CreateEnum(type=name, values=values):
            schema.enums.setdefault(name, Enum(name, values))
        case AddEnumValue(type=name, value=value):
            found = schema.enums.get(name)
            if found is not None and value not in found.values:
                at = _position(found.values, operation.before, operation.after)
                schema.enums[name] = Enum(name, (*found.values[:at], value, *found.values[at:]))
        case RenameEnumValue(type=name, value=value, to=to):
            found = schema.enums.get(name)
            if found is not None and to not in found.values:
                schema.enums[name] = Enum(name, tuple(to if v == value else v for v in found.values))
                _rename_in_tables(schema, name, value, to)


def _rename_in_tables(schema: Schema, name: QualifiedName, value: str, to: str) -> None:
    """Stored expressions hold the value itself, not its spelling: they read with the new one."""
    for table in list(schema.tables.values()):
        own = tuple(column.name for column in table.columns if column.type == str(name))
        columns = tuple(
            replace(
                column,
                default=rename_value(
                    column.default, str(name), value, to, own if column.type == str(name) else ()
                ),
            )
            if column.default is not None
            else column
            for column in table.columns
        )
        constraints = tuple(
            replace(c, expression=rename_value(c.expression, str(name), value, to, own))
            if isinstance(c, Check)
            else c
            for c in table.constraints
        )
        schema.tables[table.name] = replace(table, columns=columns, constraints=constraints)
    for index in list(schema.indexes.values()):
        where = index.definition.where
        found = schema.tables.get(index.definition.table)
        if where is None or found is None:
            continue
        own = tuple(column.name for column in found.columns if column.type == str(name))
        renamed = replace(index.definition, where=rename_value(where, str(name), value, to, own))
        schema.indexes[index.name] = replace(index, definition=renamed)


def _position(values: tuple[str, ...], before: str | None, after: str | None) -> int:
    if before in values:
        return values.index(before)
    return values.index(after) + 1 if after in values else len(values)


def change_domain(schema: Schema, operation: CreateDomain | AlterDomain) -> None:
    match operation:
        case CreateDomain(domain=name):
            if name in schema.domains:
                return
            schema.domains[name] = Domain(name, operation.base, operation.not_null, (), operation.default)
            for check in operation.checks:
                _add_check(schema, name, check)
        case AlterDomain(domain=name) if name in schema.domains:
            _alter_domain(schema, schema.domains[name], operation)
        case _:
            pass


def _add_check(schema: Schema, name: QualifiedName, check: Check) -> None:
    if check.name is None:
        check = replace(check, name=default_names.constraint_name(schema, name, None, "check"))
    found = schema.domains[name]
    if all(existing.name != check.name for existing in found.checks):
        schema.domains[name] = replace(found, checks=(*found.checks, check))


def _alter_domain(schema: Schema, domain: Domain, operation: AlterDomain) -> None:
    checks = domain.checks
    match operation.change:
        case "set not null":
            domain = replace(domain, not_null=True)
        case "drop not null":
            domain = replace(domain, not_null=False)
        case "set default":
            domain = replace(domain, default=operation.default)
        case "drop default":
            domain = replace(domain, default=None)
        case "add check" if operation.check is not None:
            _add_check(schema, domain.name, operation.check)
            return
        case "drop constraint":
            domain = replace(domain, checks=tuple(c for c in checks if c.name != operation.constraint))
        case "validate constraint":
            valid = (replace(c, not_valid=False) if c.name == operation.constraint else c for c in checks)
            domain = replace(domain, checks=tuple(valid))
        case "rename constraint":
            renamed = (replace(c, name=operation.to) if c.name == operation.constraint else c for c in checks)
            domain = replace(domain, checks=tuple(renamed))
        case _:
            pass
    schema.domains[domain.name] = domain


def change_sequence(schema: Schema, operation: CreateSequence | AlterSequence) -> None:
    name = operation.sequence
    match operation:
        case CreateSequence():
            if not default_names.relation_taken(schema, name.schema, name.name):
                schema.sequences[name] = Sequence(name, operation.type, operation.owned_by)
        case AlterSequence():
            found = schema.sequences.get(name)
            if found is None:
                return
            owner = None if operation.owned_by_none else operation.owned_by or found.owned_by
            schema.sequences[name] = Sequence(name, operation.type or found.type, owner)
