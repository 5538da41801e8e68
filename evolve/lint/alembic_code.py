"""Alembic calls as text, in the user's own names: what safe forms are made of."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from evolve.sql import operations as op
from evolve.sql.default_names import object_name
from evolve.sql.names import QualifiedName, literal, quote, shorten

# As format_type() writes them → SQLAlchemy's names; what is not here is written as SQL.
_TYPES = {
    "bigint": "sa.BigInteger()",
    "boolean": "sa.Boolean()",
    "bytea": "sa.LargeBinary()",
    "character varying": "sa.String()",
    "date": "sa.Date()",
    "double precision": "sa.Double()",
    "integer": "sa.Integer()",
    "interval": "sa.Interval()",
    "numeric": "sa.Numeric()",
    "real": "sa.REAL()",
    "smallint": "sa.SmallInteger()",
    "text": "sa.Text()",
    "time without time zone": "sa.Time()",
    "timestamp with time zone": "sa.DateTime(timezone=True)",
    "timestamp without time zone": "sa.DateTime()",
    "uuid": "sa.Uuid()",
}

# What SQLAlchemy's text() takes for the name of a parameter.
_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w)")


def string(value: str) -> str:
    """A Python string literal."""
    return json.dumps(value, ensure_ascii=False)


def strings(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(string(value) for value in values) + "]"


def text(sql: str) -> str:
    """A Python string literal of SQL, with escapes for colons that SQLAlchemy would take for parameters."""
    return string(_PARAMETER.sub(r"\\:", sql))


def execute(sql: str) -> str:
    return f"op.execute({text(sql)})"


def autocommit(*calls: str) -> str:
    lines = "\n".join(f"    {line}" for call in calls for line in call.splitlines())
    return f"with op.get_context().autocommit_block():\n{lines}"


def add_column(table: QualifiedName, column: op.ColumnDefinition) -> str:
    """A nullable column without default, identity or constraints."""
    known = type_(column.type)
    if known is None:
        return execute(f"ALTER TABLE {table} ADD COLUMN {quote(column.name)} {column.type}")
    return f"op.add_column({string(table.name)}, sa.Column({string(column.name)}, {known}){schema(table)})"


def add_column_with_default(table: QualifiedName, column: op.ColumnDefinition) -> str:
    """A column with its default, without identity or constraints."""
    default = f" DEFAULT {column.default.sql}" if column.default else ""
    not_null = " NOT NULL" if column.not_null else ""
    return execute(f"ALTER TABLE {table} ADD COLUMN {quote(column.name)} {column.type}{default}{not_null}")


def set_default(table: QualifiedName, column: str, default: str) -> str:
    """For new rows; those that are there keep what they hold."""
    return execute(f"ALTER TABLE {table} ALTER COLUMN {quote(column)} SET DEFAULT {default}")


def drop_default(table: QualifiedName, column: str) -> str:
    return execute(f"ALTER TABLE {table} ALTER COLUMN {quote(column)} DROP DEFAULT")


def number_new_rows(table: QualifiedName, column: op.ColumnDefinition) -> str:
    """A nullable column that takes its value from a sequence of its own in every new row."""
    sequence = QualifiedName(object_name(table.name, column.name, "seq"), table.schema)
    owner = f"{table}.{quote(column.name)}"
    return "\n".join(
        (
            add_column(table, column),
            execute(f"CREATE SEQUENCE {sequence} AS {column.type} OWNED BY {owner}"),
            set_default(table, column.name, f"nextval({literal(str(sequence))})"),
        )
    )


def compute_by_trigger(table: QualifiedName, column: op.ColumnDefinition, value: str) -> str:
    """A nullable column that a trigger computes in every row that is written."""
    name = shorten(table.name, column.name, "compute")
    function = QualifiedName(name, table.schema)
    # From a row of NEW, so that the expression may name the columns as it does now.
    computed = f"(SELECT {value} FROM (SELECT NEW.*) AS written)"  # noqa: S608  # text for a revision
    body = f"BEGIN NEW.{quote(column.name)} := {computed}; RETURN NEW; END"
    return "\n".join(
        (
            add_column(table, column),
            execute(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"),
            execute(
                f"CREATE TRIGGER {quote(name)} BEFORE INSERT OR UPDATE ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION {function}()"
            ),
        )
    )


def add_virtual_column(table: QualifiedName, column: op.ColumnDefinition, value: str) -> str:
    """PostgreSQL 18."""
    generated = f"GENERATED ALWAYS AS ({value}) VIRTUAL"
    return execute(f"ALTER TABLE {table} ADD COLUMN {quote(column.name)} {column.type} {generated}")


def change_type(table: QualifiedName, column: str, type_: str) -> str:
    return execute(f"ALTER TABLE {table} ALTER COLUMN {quote(column)} TYPE {type_}")


def not_null(table: QualifiedName, column: str) -> str:
    return f"op.alter_column({string(table.name)}, {string(column)}, nullable=False{schema(table)})"


def prove_not_null(table: QualifiedName, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Three revisions that make columns NOT NULL without a scan under a strong lock."""
    names = [(column, shorten(table.name, column, "not_null")) for column in columns]
    return (
        "\n".join(add_check(table, name, f"{quote(column)} IS NOT NULL") for column, name in names),
        "\n".join(validate(table, name) for _, name in names),
        # In statements of their own: dropped in the same ALTER TABLE the check proves nothing.
        "\n".join(
            line for column, name in names for line in (not_null(table, column), drop_constraint(table, name))
        ),
    )


def add_check(table: QualifiedName, name: str, condition: str) -> str:
    # op.f(): a naming convention for checks would make another name of it, which VALIDATE would not find.
    return (
        f"op.create_check_constraint(op.f({string(name)}), {string(table.name)}, {text(condition)}"
        f"{schema(table)}, postgresql_not_valid=True)"
    )


def add_foreign_key(
    table: QualifiedName, name: str, key: op.ForeignKey, target_columns: tuple[str, ...]
) -> str:
    source = f", source_schema={string(table.schema)}" if table.schema != "public" else ""
    target = f", referent_schema={string(key.target.schema)}" if key.target.schema != "public" else ""
    actions = "".join(
        f", {word}={string(action)}"
        for word, action in (("ondelete", key.on_delete), ("onupdate", key.on_update))
        if action
    )
    deferrable = ", deferrable=True" if key.deferrable else ""
    return (
        f"op.create_foreign_key(op.f({string(name)}), {string(table.name)}, {string(key.target.name)}, "
        f"{strings(key.columns)}, {strings(target_columns)}{source}{target}{actions}{deferrable}"
        ", postgresql_not_valid=True)"
    )


def validate(table: QualifiedName, name: str) -> str:
    return execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {quote(name)}")


def drop_constraint(table: QualifiedName, name: str) -> str:
    return f"op.drop_constraint({string(name)}, {string(table.name)}{schema(table)})"


def create_index_concurrently(index: op.IndexDefinition, name: str) -> str:
    """In an autocommit block; keys that op.create_index has no plain word for are written as SQL."""
    plain = (
        all(key.column and not key.descending and not key.opclass for key in index.keys)
        and not index.include
        and not index.nulls_not_distinct
    )
    if not plain:
        return autocommit(execute(_create_index_sql(index, name)))
    unique = ", unique=True" if index.unique else ""
    method = f", postgresql_using={string(index.method)}" if index.method != "btree" else ""
    where = f", postgresql_where=sa.text({text(index.where.sql)})" if index.where else ""
    columns = strings(tuple(key.column for key in index.keys if key.column))
    return autocommit(
        f"op.create_index({string(name)}, {string(index.table.name)}, {columns}{unique}{schema(index.table)}"
        f"{method}{where}, postgresql_concurrently=True)"
    )


def create_index_only(index: op.IndexDefinition, name: str) -> str:
    """On a partitioned table and none of its partitions: invalid until each of them has its own attached."""
    return execute(
        _create_index_sql(index, name)
        .replace("INDEX CONCURRENTLY", "INDEX", 1)
        .replace(" ON ", " ON ONLY ", 1)
    )


def moved_to(index: op.IndexDefinition, table: QualifiedName) -> op.IndexDefinition:
    return replace(index, name=None, table=table)


def drop_index_concurrently(index: QualifiedName) -> str:
    return autocommit(execute(f"DROP INDEX CONCURRENTLY {index}"))


def type_(name: str) -> str | None:
    """The SQLAlchemy type for a type as `format_type` writes it; None where only SQL can say it."""
    sized = re.fullmatch(r"(character varying|numeric)\((\d+)(?:,(\d+))?\)", name)
    if sized is None:
        return _TYPES.get(name)
    if sized[1] == "numeric":
        return f"sa.Numeric({sized[2]}, {sized[3] or 0})"
    return f"sa.String({sized[2]})"


def schema(table: QualifiedName) -> str:
    """The `schema=` argument, with its comma."""
    return f", schema={string(table.schema)}" if table.schema != "public" else ""


def _create_index_sql(index: op.IndexDefinition, name: str) -> str:
    keys = ", ".join(_key_sql(key) for key in index.keys)
    return (
        f"CREATE {'UNIQUE ' if index.unique else ''}INDEX CONCURRENTLY {quote(name)} ON {index.table} "
        f"USING {index.method} ({keys})"
        + (f" INCLUDE ({', '.join(map(quote, index.include))})" if index.include else "")
        + (" NULLS NOT DISTINCT" if index.nulls_not_distinct else "")
        + (f" WHERE {index.where.sql}" if index.where else "")
    )


def _key_sql(key: op.IndexKey) -> str:
    base = quote(key.column) if key.column else f"({key.expression.sql})" if key.expression else ""
    return base + (f" {key.opclass}" if key.opclass else "") + (" DESC" if key.descending else "")
