"""What is predicted of a mapped class on a changed schema is what SQLAlchemy does there, with psycopg 3."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from evolve.compat.check import INSERT, SELECT, UPDATE, failures
from evolve.compat.models import Models
from evolve.compat.read_models import read_models
from evolve.compat.source import Code, OneFile
from evolve.compat.types import CAST, assignable
from evolve.postgres.connect import connect
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema

HEADER = """
import enum
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy import Computed, Enum, ForeignKey, Identity, Integer, Numeric, String, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Status(enum.Enum):
    new = "n"
    paid = "p"


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None]
"""
TABLE = "CREATE TABLE orders (id serial PRIMARY KEY, email varchar"


@dataclass(frozen=True)
class Case:
    """A class, the columns of its table beside id and email, and what happens to it.

    `values` are given to an INSERT, `changes` to an UPDATE; `store` puts into the row what only new code writes.
    """

    name: str
    mapped: str
    columns: str
    change: str
    fails: frozenset[str]
    values: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=lambda: {"email": "b"})
    store: str = ""

    def __str__(self) -> str:
        return self.name


def case(name: str, mapped: str, columns: str, change: str, *fails: str, **given: Any) -> Case:
    return Case(name, mapped, columns, change, frozenset(fails), **given)


NOTE = "note: Mapped[str | None]"
FILL = "UPDATE orders SET note = ''"
A = "ALTER TABLE orders"
ALWAYS = "ADD GENERATED ALWAYS AS IDENTITY"
ENUM = 'status: Mapped[str] = mapped_column(Enum("new", "paid", name="status"))'
CASES = (
    case("drop", NOTE, "note varchar", f"{A} DROP note", SELECT, INSERT),
    case("rename", NOTE, "note varchar", f"{A} RENAME note TO remark", SELECT, INSERT),
    case(
        "drop a deferred column",
        "note: Mapped[str | None] = mapped_column(deferred=True)",
        "note varchar",
        f"{A} DROP note",
        INSERT,
    ),
    case(
        "drop a column that is left to the server",
        "made: Mapped[datetime] = mapped_column(server_default=func.now())",
        "made timestamp NOT NULL DEFAULT now()",
        f"{A} DROP made",
        SELECT,
        INSERT,
    ),
    case("add nullable", NOTE, "note varchar", f"{A} ADD c text"),
    case("add with default", NOTE, "note varchar", f"{A} ADD c text NOT NULL DEFAULT ''"),
    case("add required", NOTE, "note varchar", f"DELETE FROM orders; {A} ADD c text NOT NULL", INSERT),
    case("not null", NOTE, "note varchar", f"{FILL}; {A} ALTER note SET NOT NULL", INSERT),
    case(
        "not null with a default in the database",
        NOTE,
        "note varchar",
        f"{FILL}; {A} ALTER note SET DEFAULT ''; {A} ALTER note SET NOT NULL",
        INSERT,
    ),
    case(
        "not null by a check that is not validated",
        NOTE,
        "note varchar",
        f"{FILL}; {A} ADD CHECK (note IS NOT NULL) NOT VALID",
        INSERT,
    ),
    case(
        "not null, and the model has a default",
        'note: Mapped[str | None] = mapped_column(default="x")',
        "note varchar",
        f"{FILL}; {A} ALTER note SET NOT NULL",
    ),
    case(
        "not null, and the model knows of the database's default",
        'note: Mapped[str | None] = mapped_column(server_default="")',
        "note varchar DEFAULT ''",
        f"{A} ALTER note SET NOT NULL",
    ),
    case(
        "drop the default of a column that is left to it",
        'note: Mapped[str] = mapped_column(server_default="")',
        "note varchar NOT NULL DEFAULT ''",
        f"{A} ALTER note DROP DEFAULT",
        INSERT,
    ),
    case("drop the default of the key", NOTE, "note varchar", f"{A} ALTER id DROP DEFAULT", INSERT),
    case(
        "enum value added",
        ENUM,
        "status status NOT NULL",
        "ALTER TYPE status ADD VALUE 'sent'",
        SELECT,
        values={"status": "new"},
        store="UPDATE orders SET status = 'sent'",
    ),
    case(
        "enum value renamed",
        ENUM,
        "status status NOT NULL",
        "ALTER TYPE status RENAME VALUE 'new' TO 'fresh'",
        SELECT,
        INSERT,
        UPDATE,
        values={"status": "new"},
        changes={"status": "new"},
    ),
    case(
        "enum of a Python class",
        "status: Mapped[Status]",
        "status status NOT NULL",
        "ALTER TYPE status ADD VALUE 'sent'",
        SELECT,
        values={"status": "new"},
        store="UPDATE orders SET status = 'sent'",
    ),
    case(
        "int to bigint",
        "n: Mapped[int | None]",
        "n integer",
        f"{A} ALTER n TYPE bigint",
        values={"n": 1},
        changes={"n": 2},
    ),
    case(
        "int to text",
        "n: Mapped[int | None]",
        "n integer",
        f"{A} ALTER n TYPE text",
        values={"n": 1},
        changes={"n": 2},
    ),
    case(
        "timestamp to timestamptz",
        "n: Mapped[datetime | None]",
        "n timestamp",
        f"{A} ALTER n TYPE timestamptz",
    ),
    case(
        "varchar to int",
        NOTE,
        "note varchar",
        f"UPDATE orders SET note = '1'; {A} ALTER note TYPE integer USING note::integer",
        INSERT,
        UPDATE,
        values={"note": "1"},
        changes={"note": "2"},
    ),
    case(
        "varchar to enum",
        NOTE,
        "note varchar",
        f"UPDATE orders SET note = 'new'; {A} ALTER note TYPE status USING note::status",
        INSERT,
        UPDATE,
        values={"note": "new"},
        changes={"note": "paid"},
    ),
    case(
        "turned generated",
        "n: Mapped[int | None]",
        "n integer",
        f"{A} DROP n; {A} ADD n integer GENERATED ALWAYS AS (id * 2) STORED",
        INSERT,
    ),
    case(
        "generated, and the model says so",
        "n: Mapped[int | None] = mapped_column(Computed('id * 2'))",
        "n integer GENERATED ALWAYS AS (id * 2) STORED",
        f"{A} ADD c text",
    ),
    case(
        "identity always, given a value",
        "n: Mapped[int | None]",
        "n integer",
        f"UPDATE orders SET n = 1; {A} ALTER n SET NOT NULL; {A} ALTER n {ALWAYS}",
        INSERT,
        values={"n": 5},
    ),
    case(
        "identity always, and the key is left to it",
        NOTE,
        "note varchar",
        f"{A} ALTER id DROP DEFAULT; {A} ALTER id {ALWAYS} (START 10)",
    ),
    case(
        "moved to another schema",
        NOTE,
        "note varchar",
        f"CREATE SCHEMA shop; {A} SET SCHEMA shop",
        SELECT,
        INSERT,
        UPDATE,
    ),
    case(
        "table renamed, a view in its place",
        NOTE,
        "note varchar",
        f"{A} RENAME TO purchases; CREATE VIEW orders AS TABLE purchases",
    ),
    case("table renamed", NOTE, "note varchar", f"{A} RENAME TO purchases", SELECT, INSERT, UPDATE),
)


def statements(each: Case) -> tuple[str, ...]:
    create = f"CREATE TYPE status AS ENUM ('new', 'paid'); {TABLE}, {each.columns})"
    return create, each.change


def predicted(each: Case) -> set[str]:
    schema = Schema()
    for sql in statements(each):
        for operation in parse(sql):
            apply(schema, operation)
    models = models_of(HEADER + f"    {each.mapped}\n")
    (mapped,) = models.all()
    assert not mapped.partly
    return {statement for failure in failures(mapped, schema) for statement in failure.statements}


def models_of(source: str) -> Models:
    file = Path("/app/models.py")
    return read_models(Code(OneFile(file, source), [file.parent]), [file], "here")


@pytest.fixture
def order(request: pytest.FixtureRequest) -> Iterator[type[Any]]:
    """The class of the case, made by SQLAlchemy, which looks up names of its annotations in its module."""
    each: Case = request.getfixturevalue("each")
    module = types.ModuleType("compat_models")
    sys.modules[module.__name__] = module
    exec(HEADER + f"    {each.mapped}\n", vars(module))  # noqa: S102 - the source stands above
    yield module.Order
    module.Base.registry.dispose()
    del sys.modules[module.__name__]


@pytest.mark.parametrize("each", CASES, ids=str)
def test_prediction(each: Case) -> None:
    assert predicted(each) == each.fails


@pytest.mark.server
@pytest.mark.parametrize("each", CASES, ids=str)
def test_sqlalchemy_does_so(each: Case, order: type[Any], database_url: str) -> None:
    engine = sa.create_engine(sa.make_url(database_url).set(drivername="postgresql+psycopg"))
    create, change = statements(each)
    with connect(database_url, autocommit=True) as connection:
        connection.execute(create.encode())
        with Session(engine) as session:
            session.add(order(email="a", **each.values))
            session.commit()
        connection.execute(change.encode())
        if each.store:
            connection.execute(each.store.encode())

    failed = {
        name
        for name, act in (("SELECT", select), ("INSERT", insert), ("UPDATE", update))
        if fails(engine, order, each, act)
    }
    engine.dispose()

    assert failed == each.fails


def select(session: Session, order: type[Any], _: Case) -> None:
    session.scalars(sa.select(order)).all()


def insert(session: Session, order: type[Any], each: Case) -> None:
    session.add(order(email="c", **each.values))
    session.commit()


def update(session: Session, order: type[Any], each: Case) -> None:
    session.execute(sa.update(order).where(order.id == 1).values(**each.changes))
    session.commit()


def fails(engine: sa.Engine, order: type[Any], each: Case, act: Any) -> bool:
    try:
        with Session(engine) as session:
            act(session, order, each)
    except (sa.exc.SQLAlchemyError, LookupError):
        return True
    return False


@pytest.mark.server
def test_casts_are_those_of_the_server(database_url: str) -> None:
    """What is called storable unasked has a cast by assignment, and what is not has none."""
    with connect(database_url) as connection:
        found = connection.execute(
            "SELECT format_type(castsource, NULL), format_type(casttarget, NULL) FROM pg_cast WHERE castcontext <> 'e'"
        ).fetchall()
    casts = {(str(source), str(target)) for source, target in found}
    targets = (
        {target for _, target in casts}
        | set(CAST.values())
        | {"numeric", "money", "json", "uuid", "bytea", "inet"}
    )

    wrong = [
        (source, target)
        for source in sorted(set(CAST.values()))
        for target in sorted(targets)
        if (said := assignable(source, target)) is not None
        and said != (source == target or (source, target) in casts or is_text(target))
    ]

    assert wrong == []


def is_text(type_: str) -> bool:
    return type_ in ("text", "character varying", "character", "bpchar", "name", '"char"')
