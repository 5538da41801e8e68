"""Made-up histories of schema changes, each statement chosen to make sense for the schema it meets."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TypeVar

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from evolve.sql import operations as op
from evolve.sql.names import QualifiedName, quote
from evolve.sql.replay.indexes import index_columns
from evolve.sql.schema import Index, Schema, Table, View

Value = TypeVar("Value")
Choose = Callable[[Sequence[Value]], Value]

TABLES = ["users", "orders", "order", "User Log", "a" * 40, "b" * 60, "events", "items", "payments"]
COLUMNS = ["id", "name", "email", "total", "at", "state", "Mixed Case", "select", "c" * 50, "note", "amount"]
TYPES = [
    "int", "bigint", "smallint", "text", "varchar(20)", "varchar", "numeric(10,2)", "boolean", "timestamptz",
    "timestamp(3)", "date", "uuid", "jsonb", "text[]", "int[]", "char(3)", "float8", "interval", "bytea",
]  # fmt: skip
NUMBERS = ["int", "bigint", "smallint", "numeric(10,2)", "float8"]
DEFAULTS = {
    "int": ["0", "-1", "(1 + 2)"],
    "bigint": ["7"],
    "smallint": ["1"],
    "text": ["'x'", "'it''s'", "lower('A')", "NULL", "current_user"],
    "varchar(20)": ["'y'", "''"],
    "varchar": ["'y'::varchar"],
    "numeric(10,2)": ["0.00", "1.5"],
    "boolean": ["true", "false"],
    "timestamptz": ["now()", "CURRENT_TIMESTAMP", "clock_timestamp()"],
    "timestamp(3)": ["LOCALTIMESTAMP"],
    "date": ["CURRENT_DATE"],
    "uuid": ["gen_random_uuid()"],
    "jsonb": ["'{}'", "'[]'::jsonb"],
    "text[]": ["'{}'", "ARRAY['a', 'b']"],
}
SPELLED = {
    "int": "integer",
    "varchar(20)": "character varying(20)",
    "varchar": "character varying",
    "timestamptz": "timestamp with time zone",
    "timestamp(3)": "timestamp(3) without time zone",
    "char(3)": "character(3)",
    "float8": "double precision",
}
NUMERIC = {SPELLED.get(number, number) for number in NUMBERS}
TEXTUAL = {"text", "character varying(20)", "character varying"}


def rendered(change: Callable[[Operations], object]) -> str:
    """The SQL that Alembic would send for `change`."""
    out = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": out, "literal_binds": True}
    )
    change(Operations(context))
    return out.getvalue()


class Generator:
    """Proposes one statement at a time for the schema as it is; the server may still refuse it."""

    def __init__(self, choose: Choose[object], schema: Schema) -> None:
        self._choose = choose
        self.schema = schema
        self.made = 0

    # -- choosing -------------------------------------------------------------------------------------------
    def one(self, options: Sequence[Value]) -> Value:
        return self._choose(options)  # type: ignore[return-value]

    def maybe(self, text: str, chances: int = 2) -> str:
        return text if self.one(range(chances)) == 0 else ""

    def fresh(self, stem: str) -> str:
        self.made += 1
        return f"{stem}{self.made}"

    def tables(self, *, partitioned: bool | None = None, free: bool = False) -> list[Table]:
        return [
            table
            for table in self.schema.tables.values()
            if (partitioned is None or (table.partition_by is not None) == partitioned)
            and (not free or (table.partition_of is None and table.columns))
        ]

    def some_table(self, *, partitioned: bool | None = None, free: bool = False) -> Table | None:
        found = self.tables(partitioned=partitioned, free=free)
        return self.one(found) if found else None

    def namespace(self) -> str:
        return self.one(["public", "public", "public", *sorted(self.schema.schemas)])

    def table_name(self) -> QualifiedName:
        name = self.one([*TABLES, self.fresh("t")])
        return QualifiedName(name, self.namespace())

    def column_name(self, table: Table, kinds: set[str] | None = None) -> str | None:
        found = [c.name for c in table.columns if kinds is None or c.type in kinds]
        return self.one(found) if found else None

    # -- parts ----------------------------------------------------------------------------------------------
    def type_name(self) -> str:
        own = [str(name) for name in (*self.schema.enums, *self.schema.domains)]
        return self.one([*TYPES, *own, *own])

    def default_for(self, type_: str) -> str:
        options = DEFAULTS.get(type_)
        for name, enum in self.schema.enums.items():
            if str(name) == type_ and enum.values:
                value = self.one(enum.values)
                options = [f"'{value}'", f"'{value}'::{name}"]
        return f" DEFAULT {self.one(options)}" if options and self.one([0, 1]) else ""

    def column(self, name: str, *, referenced: bool = True) -> str:
        form = self.one(range(12))
        quoted = quote(name)
        if form == 0:
            return f"{quoted} {self.one(['serial', 'bigserial', 'smallserial'])}"
        if form == 1:
            return f"{quoted} {self.one(['int', 'bigint'])} GENERATED {self.one(['ALWAYS', 'BY DEFAULT'])} AS IDENTITY"
        if form == 2:
            return f'{quoted} text COLLATE "C"' + self.maybe(" UNIQUE")
        if form == 3:
            return f"{quoted} int" + self.one(
                [f" CHECK ({quoted} > 0)", f" CONSTRAINT {self.fresh('ck')} CHECK ({quoted} IN (1, 2))"]
            )
        if form == 4 and referenced:
            targets = [t for t in self.tables() if t.primary_key and len(t.primary_key.columns) == 1]
            if targets:
                target = self.one(targets)
                key = target.column(target.primary_key.columns[0]) if target.primary_key else None
                if key is not None:
                    return f"{quoted} {key.type} REFERENCES {target.name}" + self.maybe(" ON DELETE CASCADE")
        type_ = self.type_name()
        return f"{quoted} {type_}{self.default_for(type_)}" + self.maybe(" NOT NULL")

    def condition(self, table: Table) -> str | None:
        number = self.column_name(table, NUMERIC)
        text = self.column_name(table, TEXTUAL)
        forms = []
        if number:
            q = quote(number)
            forms += [
                f"{q} > 0",
                f"{q} BETWEEN 1 AND 9",
                f"{q} IN (1, 2, 3)",
                f"{q} IS NOT NULL AND {q} <> 5",
            ]
        if text:
            q = quote(text)
            forms += [
                f"{q} <> ''",
                f"length({q}) < 10",
                f"{q} LIKE 'a%'",
                f"lower({q}) = {q}",
                f"{q} NOT IN ('x', 'y')",
            ]
        if number and text:
            forms += [
                f"{quote(number)} > 0 OR {quote(text)} IS NULL",
                f"{quote(number)}::text <> {quote(text)}",
            ]
        return self.one(forms) if forms else None

    # -- statements -----------------------------------------------------------------------------------------
    def next(self) -> str | None:
        """A statement, or None where the chosen kind of change makes no sense now."""
        return self.one(self.KINDS)(self)

    def create_table(self) -> str:
        name = self.table_name()
        names = list(dict.fromkeys(self.one(COLUMNS) for _ in range(self.one([2, 3, 4]))))
        parts = [self.column(column) for column in names]
        key = self.one(range(4))
        if key == 0:
            parts.append(f"PRIMARY KEY ({quote(names[0])})")
        elif key == 1:
            parts[0] = f"{quote(names[0])} int PRIMARY KEY"
        elif key == 2:
            name_of_key = self.maybe(f"CONSTRAINT {self.fresh('uq')} ")
            parts.append(f"{name_of_key}UNIQUE ({', '.join(map(quote, names[:2]))})")
        return f"CREATE {self.maybe('UNLOGGED ', 8)}TABLE {self.maybe('IF NOT EXISTS ')}{name} ({', '.join(parts)})"

    def create_table_with_alembic(self) -> str:
        name = self.table_name()
        columns = list(dict.fromkeys(self.one(COLUMNS) for _ in range(3)))
        types = [
            self.one(
                [
                    sa.Integer(),
                    sa.String(20),
                    sa.Text(),
                    sa.Numeric(10, 2),
                    sa.DateTime(timezone=True),
                    sa.Boolean(),
                    sa.ARRAY(sa.Integer()),
                    sa.JSON(),
                    sa.Uuid(),
                ]
            )
            for _ in columns
        ]
        identity = self.one([True, False])
        return rendered(
            lambda o: o.create_table(
                name.name,
                *(
                    sa.Column(
                        c,
                        t,
                        nullable=self.one([True, False]),
                        unique=(bool(self.one([0, 0, 1])) and not isinstance(t, sa.JSON)) or None,
                    )
                    for c, t in zip(columns[1:], types[1:], strict=True)
                ),
                sa.Column(columns[0], sa.Integer(), *([sa.Identity()] if identity else [])),
                sa.PrimaryKeyConstraint(columns[0], name=self.one([None, self.fresh("pk")])),
                schema=None if name.schema == "public" else name.schema,
            )
        )

    def create_like(self) -> str | None:
        source = self.some_table()
        if source is None:
            return None
        options = self.one(
            [
                "",
                " INCLUDING ALL",
                " INCLUDING DEFAULTS INCLUDING INDEXES",
                " INCLUDING CONSTRAINTS",
                " INCLUDING IDENTITY INCLUDING GENERATED",
            ]
        )
        if source.partition_of is not None:
            options = (
                ""  # from PostgreSQL 17 a partition lends the identity of its parent, before it has none
            )
        return f"CREATE TABLE {self.fresh('l')} (extra int, LIKE {source.name}{options}, more text)"

    def create_child(self) -> str | None:
        parent = self.some_table(partitioned=False, free=True)
        return f"CREATE TABLE {self.fresh('kid')} (own int) INHERITS ({parent.name})" if parent else None

    def drop_table(self) -> str | None:
        table = self.some_table()
        return f"DROP TABLE {table.name} CASCADE" if table and len(self.tables()) > 4 else None

    def rename_table(self) -> str | None:
        table = self.some_table()
        if table is None:
            return None
        to = self.one([*TABLES, self.fresh("r")])
        if self.one([0, 1]):
            return rendered(
                lambda o: o.rename_table(
                    table.name.name, to, schema=None if table.name.schema == "public" else table.name.schema
                )
            )
        return f"ALTER TABLE {table.name} RENAME TO {quote(to)}"

    def move(self) -> str | None:
        table = self.some_table()
        return f"ALTER TABLE {table.name} SET SCHEMA {quote(self.namespace())}" if table else None

    def add_column(self) -> str | None:
        table = self.some_table()
        if table is None:
            return None
        name = self.one([*COLUMNS, self.fresh("c")])
        if self.one(range(6)) == 0:
            number = self.column_name(table, NUMERIC)
            if number:
                computed = f"numeric GENERATED ALWAYS AS ({quote(number)} * 2) STORED"
                return f"ALTER TABLE {table.name} ADD COLUMN {quote(name)} {computed}"
        return f"ALTER TABLE {table.name} ADD COLUMN {self.maybe('IF NOT EXISTS ')}{self.column(name)}"

    def add_column_with_alembic(self) -> str | None:
        table = self.some_table()
        if table is None:
            return None
        type_ = self.one(
            [sa.String(7), sa.BigInteger(), sa.Enum("u", "v", name=self.fresh("mood")), sa.Date()]
        )
        column = sa.Column(
            self.fresh("ac"),
            type_,
            server_default=self.one([None, sa.func.now()]) if isinstance(type_, sa.Date) else None,
        )
        schema = None if table.name.schema == "public" else table.name.schema

        def change(o: Operations) -> None:
            if isinstance(type_, sa.Enum):
                o.execute(f"CREATE TYPE {type_.name} AS ENUM ('u', 'v')")
            o.add_column(table.name.name, column, schema=schema)

        return rendered(change)

    def drop_column(self) -> str | None:
        table = self.some_table()
        column = self.column_name(table) if table and len(table.columns) > 1 else None
        return (
            f"ALTER TABLE {table.name} DROP COLUMN {quote(column)}{self.one(['', ' CASCADE'])}"
            if table and column
            else None
        )

    def rename_column(self) -> str | None:
        table = self.some_table()
        column = self.column_name(table) if table else None
        if table is None or column is None:
            return None
        to = self.one([*COLUMNS, self.fresh("n")])
        if self.one([0, 1]):
            return rendered(
                lambda o: o.alter_column(
                    table.name.name,
                    column,
                    new_column_name=to,
                    schema=None if table.name.schema == "public" else table.name.schema,
                )
            )
        return f"ALTER TABLE {table.name} RENAME COLUMN {quote(column)} TO {quote(to)}"

    def alter_type(self) -> str | None:
        table = self.some_table()
        column = self.column_name(table) if table else None
        if table is None or column is None:
            return None
        over = [i for i in self.schema.indexes_of(table.name) if column in index_columns(i.definition)]
        if table.partition_by is not None and len(over) > 1:
            return None  # in which order the server names their parts anew cannot be known
        kind = next(c.type for c in table.columns if c.name == column)
        targets = (
            ["bigint", "numeric", "numeric(12,2)", "text"]
            if kind in NUMERIC
            else ["text", "varchar(50)", "varchar", 'text COLLATE "C"']
        )
        if kind in ("date", "timestamp with time zone"):
            targets = ["timestamptz", "timestamp", "date"]
        return f"ALTER TABLE {table.name} ALTER COLUMN {quote(column)} TYPE {self.one(targets)}"

    def alter_column(self) -> str | None:
        table = self.some_table()
        column = self.column_name(table) if table else None
        if table is None or column is None:
            return None
        known = table.column(column)
        start = f"ALTER TABLE {table.name} ALTER COLUMN {quote(column)}"
        forms = [
            "SET NOT NULL",
            "DROP NOT NULL",
            "DROP DEFAULT",
            "DROP IDENTITY IF EXISTS",
            "DROP EXPRESSION IF EXISTS",
        ]
        for short, options in DEFAULTS.items():
            if known and known.type == SPELLED.get(short, short):
                forms += [f"SET DEFAULT {option}" for option in options]
        if known and known.type in ("integer", "bigint", "smallint"):
            forms += ["ADD GENERATED ALWAYS AS IDENTITY", "SET GENERATED BY DEFAULT"]
        return f"{start} {self.one(forms)}"

    def add_check(self) -> str | None:
        table = self.some_table()
        condition = self.condition(table) if table else None
        if table is None or condition is None:
            return None
        name = self.one(["", f"CONSTRAINT {self.fresh('ck')} ", f'CONSTRAINT "Ck {self.fresh("x")}" '])
        return f"ALTER TABLE {table.name} ADD {name}CHECK ({condition}){self.one(['', ' NOT VALID', ' NO INHERIT'])}"

    def add_key(self) -> str | None:
        table = self.some_table()
        if table is None or not table.columns:
            return None
        names = list(dict.fromkeys(filter(None, (self.column_name(table) for _ in range(self.one([1, 2]))))))
        listed = ", ".join(map(quote, names))
        kind = self.one(
            [
                f"UNIQUE ({listed})",
                f"PRIMARY KEY ({listed})",
                f"EXCLUDE USING btree ({quote(names[0])} WITH =)",
                f"UNIQUE ({quote(names[0])}) INCLUDE ({quote(names[-1])})",
            ]
        )
        name = self.one(["", f"CONSTRAINT {self.fresh('k')} "])
        return f"ALTER TABLE {table.name} ADD {name}{kind}"

    def add_foreign_key(self) -> str | None:
        pairs = []
        for target in self.tables():
            for index in self.schema.indexes_of(target.name):
                if (
                    index.definition.unique
                    and len(index.definition.keys) == 1
                    and index.definition.where is None
                ):
                    column = target.column(index.definition.keys[0].column or "")
                    if column is not None:
                        pairs += [
                            (t, c.name, target, column.name)
                            for t in self.tables()
                            for c in t.columns
                            if c.type == column.type
                        ]
        if not pairs:
            return None
        table, own, target, key = self.one(pairs)
        if self.one([0, 1]):
            schema = None if table.name.schema == "public" else table.name.schema
            target_schema = None if target.name.schema == "public" else target.name.schema
            return rendered(
                lambda o: o.create_foreign_key(
                    self.one([None, self.fresh("fk")]),
                    table.name.name,
                    target.name.name,
                    [own],
                    [key],
                    source_schema=schema,
                    referent_schema=target_schema,
                    ondelete=self.one([None, "CASCADE", "SET NULL"]),
                    deferrable=self.one([None, True]),
                )
            )
        reference = f"FOREIGN KEY ({quote(own)}) REFERENCES {target.name} ({quote(key)})"
        return (
            f"ALTER TABLE {table.name} ADD {reference}{self.one(['', ' NOT VALID', ' ON UPDATE RESTRICT'])}"
        )

    def some_constraint(self) -> tuple[Table, op.Constraint] | None:
        found = [(table, c) for table in self.tables() for c in table.constraints]
        return self.one(found) if found else None

    def change_constraint(self) -> str | None:
        chosen = self.some_constraint()
        if chosen is None:
            return None
        table, constraint = chosen
        name = quote(constraint.name or "")
        return f"ALTER TABLE {table.name} " + self.one(
            [
                f"DROP CONSTRAINT {name} CASCADE",
                f"VALIDATE CONSTRAINT {name}",
                f"RENAME CONSTRAINT {name} TO {self.fresh('rc')}",
                f"ALTER CONSTRAINT {name} DEFERRABLE",
            ]
        )

    def create_index(self) -> str | None:
        views = [view for view in self.schema.views.values() if view.materialized and view.columns]
        if views and self.one(range(6)) == 0:
            view = self.one(views)
            return f"CREATE INDEX ON {view.name} ({quote(self.one(view.columns or ('',)))})"
        table = self.some_table()
        column = self.column_name(table) if table else None
        if table is None or column is None:
            return None
        q = quote(column)
        text, number = self.column_name(table, TEXTUAL), self.column_name(table, NUMERIC)
        keys = [q, f"{q} DESC", f"{q}, {quote(self.column_name(table) or column)}"]
        keys += (
            [
                f"lower({quote(text)})",
                f"({quote(text)} || 'x')",
                f"lower({quote(text)}), upper({quote(text)}), {q}",
            ]
            if text
            else []
        )
        keys += [f"({quote(number)} + 1)", f"abs({quote(number)})"] if number else []
        where = self.condition(table)
        name = self.one(["", self.fresh("ix"), quote("Ix " + self.fresh("x"))])
        only = "ONLY " if table.partition_by and self.one([0, 1]) else ""
        unique = self.maybe("UNIQUE ", 4)
        how = self.maybe("CONCURRENTLY ", 6) if not table.partition_by else ""
        tail = self.maybe(f" INCLUDE ({q})", 5) + (self.maybe(f" WHERE {where}", 4) if where else "")
        return f"CREATE {unique}INDEX {how}{name} ON {only}{table.name} ({self.one(keys)}){tail}"

    def create_index_with_alembic(self) -> str | None:
        table = self.some_table()
        column = self.column_name(table) if table else None
        if table is None or column is None:
            return None
        schema = None if table.name.schema == "public" else table.name.schema
        return rendered(
            lambda o: o.create_index(
                o.f(self.fresh("ix_a")), table.name.name, [column], unique=False, schema=schema
            )
        )

    def some_index(self) -> Index | None:
        found = list(self.schema.indexes.values())
        return self.one(found) if found else None

    def change_index(self) -> str | None:
        index = self.some_index()
        if index is None:
            return None
        return self.one(
            [
                f"DROP INDEX {index.name} CASCADE",
                f"ALTER INDEX {index.name} RENAME TO {self.fresh('ri')}",
                f"ALTER INDEX {index.name} RENAME TO {quote('Idx ' + self.fresh('y'))}",
            ]
        )

    def use_index(self) -> str | None:
        found = [
            i
            for i in self.schema.indexes.values()
            if i.definition.unique and i.constraint is None and i.definition.table in self.schema.tables
        ]
        if not found:
            return None
        index = self.one(found)
        kind = self.one(["UNIQUE", "PRIMARY KEY"])
        name = self.maybe(f"CONSTRAINT {self.fresh('ui')} ")
        using = quote(index.definition.name or "")
        return f"ALTER TABLE {index.definition.table} ADD {name}{kind} USING INDEX {using}"

    def attach_index(self) -> str | None:
        parents = [
            i
            for i in self.schema.indexes.values()
            if not i.valid and i.definition.table in self.schema.tables
        ]
        if not parents:
            return None
        parent = self.one(parents)
        parts = [
            i
            for p in self.schema.partitions_of(parent.definition.table)
            for i in self.schema.indexes_of(p.name)
        ]
        return f"ALTER INDEX {parent.name} ATTACH PARTITION {self.one(parts).name}" if parts else None

    # -- partitions -----------------------------------------------------------------------------------------
    def create_partitioned(self) -> str:
        name = QualifiedName(self.fresh("part"), self.namespace())
        by = self.one(["RANGE (k)", "LIST (k)", "HASH (k)", "RANGE ((k + 1))"])
        key = self.maybe(", PRIMARY KEY (k, id)") if "+" not in by else ""
        columns = f"id int NOT NULL, k int NOT NULL, name text DEFAULT 'n', total int{self.maybe(' CHECK (total > 0)')}"
        return f"CREATE TABLE {name} ({columns}{key}) PARTITION BY {by}"

    def bound(self, parent: Table) -> str:
        by = parent.partition_by
        number = len(list(self.schema.partitions_of(parent.name)))
        if by is None or by.method == "hash":
            return f"FOR VALUES WITH (MODULUS 16, REMAINDER {number % 16})"
        if self.one(range(6)) == 0:
            return "DEFAULT"
        self.made += 1
        if by.method == "list":
            return f"FOR VALUES IN ({self.made * 10}, {self.made * 10 + 1})"
        return f"FOR VALUES FROM ({self.made * 10}) TO ({self.made * 10 + 10})"

    def create_partition(self) -> str | None:
        parent = self.some_table(partitioned=True)
        if parent is None:
            return None
        again = self.maybe(" PARTITION BY LIST (k)", 6)
        options = self.maybe(" (name DEFAULT lower(chr(65)) NOT NULL)", 5)
        return (
            f"CREATE TABLE {self.fresh('p')} PARTITION OF {parent.name}{options} {self.bound(parent)}{again}"
        )

    def attach_partition(self) -> str | None:
        parent = self.some_table(partitioned=True)
        if parent is None:
            return None
        name = self.fresh("att")
        columns = ", ".join(
            f"{quote(c.name)} {c.type}{f' COLLATE {quote(c.collation)}' if c.collation else ''}"
            f"{f' GENERATED ALWAYS AS ({c.generation.sql}) STORED' if c.generation else ''}"
            f"{' NOT NULL' if c.not_null else ''}"
            for c in parent.columns
        )
        checks = ", ".join(
            f"CONSTRAINT {quote(c.name or '')} CHECK ({c.expression.sql})"
            for c in parent.constraints
            if isinstance(c, op.Check)
        )
        index = self.maybe(f"; CREATE INDEX ON {name} (k)")
        create = f"CREATE TABLE {name} ({columns}{', ' + checks if checks else ''}){index}"
        return f"{create}; ALTER TABLE {parent.name} ATTACH PARTITION {name} {self.bound(parent)}"

    def detach_partition(self) -> str | None:
        found = [t for t in self.tables() if t.partition_of is not None]
        if not found:
            return None
        child = self.one(found)
        return f"ALTER TABLE {child.partition_of} DETACH PARTITION {child.name}"

    # -- types ----------------------------------------------------------------------------------------------
    def create_type(self) -> str:
        name = QualifiedName(self.one([self.fresh("mood"), "Mood " + self.fresh("m")]), self.namespace())
        return self.one(
            [
                f"CREATE TYPE {name} AS ENUM ('a', 'b', 'it''s')",
                f"CREATE DOMAIN {name} AS int CHECK (VALUE > 0)",
                f"CREATE DOMAIN {name} AS text NOT NULL DEFAULT 'q' CONSTRAINT {self.fresh('dc')} CHECK (VALUE <> '')",
                f"CREATE DOMAIN {name} AS varchar(9)",
            ]
        )

    def change_enum(self) -> str | None:
        if not self.schema.enums:
            return None
        enum = self.one(list(self.schema.enums.values()))
        value = self.one(enum.values).replace("'", "''")
        new = self.fresh("v")
        return self.one(
            [
                f"ALTER TYPE {enum.name} ADD VALUE '{new}'",
                f"ALTER TYPE {enum.name} ADD VALUE IF NOT EXISTS '{value}'",
                f"ALTER TYPE {enum.name} ADD VALUE '{new}' BEFORE '{value}'",
                f"ALTER TYPE {enum.name} ADD VALUE '{new}' AFTER '{value}'",
                f"ALTER TYPE {enum.name} RENAME VALUE '{value}' TO '{new}'",
                f"ALTER TYPE {enum.name} RENAME TO {self.fresh('en')}",
                f"ALTER TYPE {enum.name} SET SCHEMA {quote(self.namespace())}",
                f"DROP TYPE {enum.name} CASCADE",
            ]
        )

    def change_domain(self) -> str | None:
        if not self.schema.domains:
            return None
        domain = self.one(list(self.schema.domains.values()))
        start = f"ALTER DOMAIN {domain.name}"
        forms = [
            f"{start} SET NOT NULL",
            f"{start} DROP NOT NULL",
            f"{start} DROP DEFAULT",
            f"{start} RENAME TO {self.fresh('dom')}",
            f"DROP DOMAIN {domain.name} CASCADE",
            f"{start} ADD CHECK (VALUE IS NOT NULL)",
            f"{start} ADD CONSTRAINT {self.fresh('dk')} CHECK (VALUE IS NOT NULL) NOT VALID",
        ]
        for check in domain.checks:
            name = quote(check.name or "")
            forms += [
                f"{start} DROP CONSTRAINT {name}",
                f"{start} VALIDATE CONSTRAINT {name}",
                f"{start} RENAME CONSTRAINT {name} TO {self.fresh('dr')}",
            ]
        return self.one(forms)

    def change_sequence(self) -> str | None:
        found = list(self.schema.sequences.values())
        if not found or self.one(range(4)) == 0:
            return f"CREATE SEQUENCE {self.fresh('sq')}{self.maybe(' AS int')}"
        sequence = self.one(found)
        table = self.some_table()
        column = self.column_name(table, {"integer", "bigint"}) if table else None
        forms = [
            f"ALTER SEQUENCE {sequence.name} RENAME TO {self.fresh('sr')}",
            f"ALTER SEQUENCE {sequence.name} AS int",
            f"ALTER SEQUENCE {sequence.name} OWNED BY NONE",
            f"DROP SEQUENCE {sequence.name} CASCADE",
            f"ALTER SEQUENCE {sequence.name} SET SCHEMA {quote(self.namespace())}",
        ]
        if table is not None and column is not None:
            owned = f"{table.name}.{quote(column)}"
            default = str(sequence.name).replace("'", "''")
            forms += [
                f"ALTER SEQUENCE {sequence.name} OWNED BY {owned}",
                f"ALTER TABLE {table.name} ALTER {quote(column)} SET DEFAULT nextval('{default}')",
            ]
        return self.one(forms)

    # -- views, triggers, schemas ---------------------------------------------------------------------------
    def create_view(self) -> str | None:
        table = self.some_table()
        column = self.column_name(table) if table else None
        if table is None or column is None:
            return None
        other = self.some_table()
        q = quote(column)
        queries = [
            f"SELECT {q} FROM {table.name}",
            f"SELECT * FROM {table.name}",
            f"SELECT x.{q} AS one, count(*) AS n FROM {table.name} x GROUP BY 1",
            f"WITH w AS (SELECT {q} FROM {table.name}) SELECT w.{q} FROM w",
        ]
        if other is not None and other.name != table.name and (key := self.column_name(other)):
            queries.append(
                f"SELECT a.{q} AS first, b.{quote(key)} AS second FROM {table.name} a CROSS JOIN {other.name} b"
            )
        views: list[View] = list(self.schema.views.values())
        if views:
            view = self.one(views)
            if view.columns:
                queries.append(f"SELECT {quote(self.one(view.columns))} FROM {view.name}")
        name = QualifiedName(self.fresh("vw"), self.namespace())
        return f"CREATE {self.one(['VIEW', 'VIEW', 'MATERIALIZED VIEW'])} {name} AS {self.one(queries)}"

    def change_view(self) -> str | None:
        if not self.schema.views:
            return None
        view = self.one(list(self.schema.views.values()))
        kind = "MATERIALIZED VIEW" if view.materialized else "VIEW"
        return self.one(
            [
                f"DROP {kind} {view.name} CASCADE",
                f"ALTER {kind} {view.name} RENAME TO {self.fresh('rv')}",
                f"ALTER {kind} {view.name} SET SCHEMA {quote(self.namespace())}",
                f"ALTER TABLE {view.name} RENAME TO {self.fresh('rw')}",
            ]
        )

    def change_trigger(self) -> str | None:
        table = self.some_table()
        if table is None:
            return None
        if table.triggers and self.one([0, 1]):
            trigger = quote(self.one(table.triggers))
            return self.one(
                [
                    f"DROP TRIGGER {trigger} ON {table.name}",
                    f"ALTER TRIGGER {trigger} ON {table.name} RENAME TO {self.fresh('rt')}",
                ]
            )
        function = self.one(["fn_one", "fn_two"])
        when = self.one(["AFTER INSERT ON", "BEFORE UPDATE ON"])
        body = "RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$"
        trigger = f"{self.fresh('tr')} {when} {table.name} FOR EACH {self.one(['ROW', 'STATEMENT'])}"
        return (
            f"CREATE OR REPLACE FUNCTION {function}() {body}; "
            f"CREATE TRIGGER {trigger} EXECUTE FUNCTION {function}()"
        )

    def drop_function(self) -> str:
        return f"DROP FUNCTION IF EXISTS {self.one(['fn_one', 'fn_two'])}() CASCADE"

    def change_schema(self) -> str | None:
        others = sorted(self.schema.schemas - {"public"})
        if len(others) < 3 and self.one([0, 1]):
            return f"CREATE SCHEMA IF NOT EXISTS {self.one(['app', 'archive', quote('My Schema')])}"
        if not others:
            return None
        chosen = self.one(others)
        return self.one(
            [
                f"ALTER SCHEMA {quote(chosen)} RENAME TO {self.fresh('ns')}",
                f"DROP SCHEMA {quote(chosen)} CASCADE",
                f"CREATE SCHEMA {self.fresh('ns')}",
            ]
        )

    def inherit(self) -> str | None:
        kids = [t for t in self.tables() if t.inherits]
        if not kids:
            return None
        child = self.one(kids)
        return f"ALTER TABLE {child.name} NO INHERIT {child.inherits[0]}"

    KINDS = (
        create_table, create_table, create_table_with_alembic, create_like, create_child, drop_table, rename_table,
        move, add_column, add_column, add_column, add_column_with_alembic, drop_column, drop_column, rename_column,
        rename_column, alter_type, alter_type, alter_column, alter_column, alter_column, add_check, add_check,
        add_key, add_key, add_foreign_key, add_foreign_key, change_constraint, change_constraint,
        change_constraint, create_index, create_index, create_index, create_index_with_alembic, change_index,
        use_index, attach_index, create_partitioned, create_partition, create_partition, attach_partition,
        detach_partition, create_type, change_enum, change_domain, change_sequence, create_view, create_view,
        change_view, change_trigger, drop_function, change_schema, inherit,
    )  # fmt: skip
