"""What an application tells of itself: its mapped columns, its name, and what importing that costs."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, column_property, mapped_column, relationship

from evolve import client


class Base(DeclarativeBase):
    pass


members = Table("members", Base.metadata, Column("person", Integer), Column("club", Integer))


class Person(Base):
    __tablename__ = "people"

    id = mapped_column(Integer, primary_key=True)
    kind = mapped_column(String)
    title = mapped_column("salutation", String, deferred=True)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012 - SQLAlchemy's own
    clubs = relationship("Club", secondary=lambda: members)


class Clerk(Person):
    __tablename__ = "clerks"

    id = mapped_column(ForeignKey("people.id"), primary_key=True)
    __mapper_args__ = {"polymorphic_identity": "clerk"}  # noqa: RUF012 - SQLAlchemy's own


class Part(Base):
    __table__ = Table(
        "parts",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("shown", String),
        Column("hidden", String),
        Column("counted", Integer),
        schema="stock",
    )
    __mapper_args__ = {"exclude_properties": ["hidden", "counted"]}  # noqa: RUF012 - SQLAlchemy's own


Clerk.parts = column_property(select(func.sum(Part.__table__.c.counted)).scalar_subquery())


def mapped(models: object) -> dict[tuple[str | None, str], set[str] | None]:
    return client._mapped(models, {})


def test_importing_it_imports_nothing_but_the_standard_library() -> None:
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import evolve.client"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in traced.stderr.splitlines()}
    assert "evolve" in imported
    assert imported.isdisjoint({"sqlalchemy", "psycopg", "alembic", "click", "asyncio", "typing_extensions"})


def test_what_the_models_map() -> None:
    assert mapped(Base) == {
        (None, "people"): {"id", "kind", "salutation"},
        (None, "clerks"): {"id"},
        (None, "members"): {"person", "club"},
        ("stock", "parts"): {"id", "shown", "counted"},
    }


def test_reading_models_configures_none() -> None:
    # Club is not there: to configure Person would fail, now and whenever the application would do it.
    mapped(Base)
    assert not Person.__mapper__.configured


@pytest.mark.parametrize("models", [Base.metadata, [Base.registry, Base.metadata]])
def test_metadata_and_registries(models: object) -> None:
    assert (None, "people") in mapped(models)


def test_hand_written_sql() -> None:
    told = client._mapped((MetaData(),), {"stock.parts": None, "users": ["name"]})
    assert told == {("stock", "parts"): None, (None, "users"): {"name"}}


def test_the_version_is_kept_whole_in_the_name_of_a_connection() -> None:
    name = client.name("é" * 60, "2026.11.3")
    assert name.endswith("é@2026.11.3")
    assert len(name.encode()) in (62, 63)


def test_an_application_without_a_version_is_named_all_the_same() -> None:
    assert client.name("shop", None) == "shop@unknown"  # type: ignore[arg-type]


def test_another_kind_of_database_is_left_alone() -> None:
    before = set(threading.enumerate())
    engine = create_engine("sqlite://")
    client.register(engine, version="1", models=Base)
    engine.connect().close()
    engine.dispose()
    assert set(threading.enumerate()) <= before


def test_who_says_nothing_maps_who_knows_what() -> None:
    with pytest.raises(TypeError, match="neither models nor maps"):
        client._mapped((), None)
