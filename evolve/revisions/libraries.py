"""What the operations of two well-known Alembic extensions send: alembic-utils and alembic-postgresql-enum.

Known here so that their revisions can be read where the packages are not installed; where they are, they run
themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evolve.revisions.literals import quoted

_DEFAULT_OF_PARAMETER = re.compile(r"\s+(?:DEFAULT\s|=)\s*[^,)]+", re.IGNORECASE)
_ENTITIES: Mapping[str, str] = {
    "PGFunction": "FUNCTION",
    "PGProcedure": "PROCEDURE",
    "PGView": "VIEW",
    "PGMaterializedView": "MATERIALIZED VIEW",
    "PGTrigger": "TRIGGER",
    "PGPolicy": "POLICY",
    "PGExtension": "EXTENSION",
}


@dataclass(frozen=True, slots=True)
class Entity:
    """An object that alembic-utils manages as a whole, e.g. a function or a view."""

    kind: str
    schema: str
    signature: str
    definition: str = ""
    on_entity: str = ""
    is_constraint: bool = False
    with_data: bool = True

    def create(self) -> list[str]:
        match self.kind:
            case "FUNCTION" | "PROCEDURE":
                return [f"CREATE {self.kind} {self._name} {self.definition}"]
            case "VIEW":
                return [f"CREATE VIEW {self._name} AS {self.definition}"]
            case "MATERIALIZED VIEW":
                data = "WITH DATA" if self.with_data else "WITH NO DATA"
                return [
                    f"CREATE MATERIALIZED VIEW {self._name} AS {self.definition.rstrip().rstrip(';')} {data}"
                ]
            case "TRIGGER":
                constraint = "CONSTRAINT " if self.is_constraint else ""
                return [f"CREATE {constraint}TRIGGER {self.signature} {self.definition}"]
            case "POLICY":
                return [f"CREATE POLICY {self.signature} ON {self.on_entity} {self.definition}"]
            case _:
                return [f'CREATE EXTENSION "{self.signature}" WITH SCHEMA {self.schema}']

    def drop(self, *, if_exists: bool = False, cascade: bool = False) -> list[str]:
        exists = " IF EXISTS" if if_exists else ""
        tail = " CASCADE" if cascade else ""
        match self.kind:
            case "TRIGGER" | "POLICY":
                return [f"DROP {self.kind}{exists} {self.signature} ON {self.on_entity}{tail}"]
            case "EXTENSION":
                return [f'DROP EXTENSION{exists} "{self.signature}"{tail}']
            case _:
                return [f"DROP {self.kind}{exists} {_DEFAULT_OF_PARAMETER.sub('', self._name)}{tail}"]

    def replace(self) -> list[str]:
        if self.kind in ("FUNCTION", "PROCEDURE", "VIEW"):
            return [statement.replace("CREATE ", "CREATE OR REPLACE ", 1) for statement in self.create()]
        return [*self.drop(if_exists=True), *self.create()]

    @property
    def _name(self) -> str:
        return f"{self.schema}.{self.signature}"


@dataclass(frozen=True, slots=True)
class EnumColumn:
    """A column of an enum type, as alembic-postgresql-enum's `TableReference` names it."""

    table_name: str
    column_name: str
    table_schema: str | None = None
    array: bool = False
    existing_server_default: str | None = None


def known_object(
    name: str, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Entity | EnumColumn | None:
    """The value that calling `name` of one of the two packages makes; None for anything else."""
    package, _, rest = name.partition(".")
    called = rest.rpartition(".")[2]
    if package == "alembic_utils" and called in _ENTITIES:
        return _entity(_ENTITIES[called], args, kwargs)
    if package == "alembic_postgresql_enum" and called == "TableReference":
        return _enum_column(args, kwargs)
    return None


def _entity(kind: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Entity | None:
    given = dict(zip(("schema", "signature", "definition", "on_entity"), args, strict=False)) | dict(kwargs)
    schema, signature = given.get("schema"), given.get("signature")
    definition, on_entity = given.get("definition", ""), given.get("on_entity", "")
    texts = (schema, signature, definition, on_entity)
    if not all(isinstance(text, str) for text in texts):
        return None
    return Entity(
        kind,
        str(schema),
        str(signature),
        str(definition),
        str(on_entity),
        is_constraint=given.get("is_constraint") is True,
        with_data=given.get("with_data") is not False,
    )


def _enum_column(args: tuple[object, ...], kwargs: Mapping[str, object]) -> EnumColumn | None:
    names = ("table_name", "column_name", "table_schema", "column_type", "existing_server_default")
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    table, column = given.get("table_name"), given.get("column_name")
    schema, default = given.get("table_schema"), given.get("existing_server_default")
    if not isinstance(table, str) or not isinstance(column, str):
        return None
    return EnumColumn(
        table,
        column,
        schema if isinstance(schema, str) else None,
        repr(given.get("column_type")).rstrip(">").endswith("ARRAY"),
        default if isinstance(default, str) else None,
    )


def entity_statements(
    action: Literal["create", "drop", "replace"], entity: object, *, cascade: bool = False
) -> list[str] | None:
    """SQL of `op.create_entity` and its kin; None where `entity` is not one that is known here."""
    if not isinstance(entity, Entity):
        return None
    match action:
        case "create":
            return entity.create()
        case "drop":
            return entity.drop(cascade=cascade)
        case "replace":
            return entity.replace()


def enum_statements(
    schema: object,
    name: object,
    values: object,
    columns: object,
    renamed: object = (),
) -> list[str] | None:
    """SQL of `op.sync_enum_values`: a new type takes the name, the columns move over, the old type goes.

    None where an argument is not plain. The comparison operators that the package makes for the time of the move, and
    drops again, are left out.
    """
    if not isinstance(schema, str) or not isinstance(name, str) or not _texts(values):
        return None
    if not isinstance(columns, Sequence) or not isinstance(renamed, Iterable):
        return None
    new, old = f'"{schema}"."{name}"', f'"{schema}"."{name}_old"'
    labels = ", ".join(quoted(str(value)) for value in _sequence(values))
    statements = [f'ALTER TYPE {new} RENAME TO "{name}_old"', f"CREATE TYPE {new} AS ENUM ({labels})"]
    pairs = [(str(pair[0]), str(pair[1])) for pair in renamed]
    for column in columns:
        known = EnumColumn(str(column[0]), str(column[1])) if isinstance(column, tuple) else column
        if not isinstance(known, EnumColumn):
            return None
        statements += _move_column(known, schema, new, pairs)
    statements.append(f"DROP TYPE {old}")
    return statements


def _move_column(column: EnumColumn, schema: str, new: str, renamed: list[tuple[str, str]]) -> list[str]:
    table = f'"{column.table_schema or schema}"."{column.table_name}"'
    name = f'"{column.column_name}"'
    alter = f"ALTER TABLE {table} ALTER COLUMN {name}"
    suffix = "[]" if column.array else ""
    if column.array:
        using = f"{name}::text[]"
        for before, after in renamed:
            using = f"array_replace({using}, {quoted(before)}, {quoted(after)})"
        using = f"{using}::{new}[]"
    elif renamed:
        cases = " ".join(f"WHEN {name}::text = {quoted(a)} THEN {quoted(b)}::{new}" for a, b in renamed)
        using = f"CASE {cases} ELSE {name}::text::{new} END"
    else:
        using = f"{name}::text::{new}"
    moved = [f"{alter} TYPE {new}{suffix} USING {using}"]
    default = column.existing_server_default
    if default is None:
        return moved
    for before, after in renamed:
        default = default.replace(quoted(before), quoted(after))
    return [f"{alter} DROP DEFAULT", *moved, f"{alter} SET DEFAULT {default}"]


def _texts(values: object) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)


def _sequence(values: object) -> Sequence[object]:
    return values if isinstance(values, list | tuple) else ()
