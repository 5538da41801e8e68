"""A table gets another name while code reads and writes it under both."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support.versions import through_versions

from evolve.testing.phase_harness import Dice, Rows, Scene, SceneContract, Version

pytestmark = pytest.mark.server


class OldBase(DeclarativeBase):
    pass


class NewBase(DeclarativeBase):
    pass


class OldUser(OldBase):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    visits: Mapped[int]


class NewUser(NewBase):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    visits: Mapped[int]


def user(dice: Dice) -> dict[str, object]:
    return {"name": dice.word(), "visits": dice.randrange(99)}


class TestRenameTable(SceneContract):
    scene = Scene(
        schema="""
            CREATE TABLE users (id bigserial PRIMARY KEY, name text NOT NULL, visits integer NOT NULL DEFAULT 0);
            CREATE INDEX users_name_idx ON users (name);
            INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 400) n;
        """,
        plan=("rename-table", "users", "people"),
        old=Version("old", Rows(OldUser, user)),
        new=Version("new", Rows(NewUser, user)),
        filled_from="expand",
        no_return=None,
    )


@pytest.mark.long
class TestRenameTableThroughVersions(SceneContract):
    scene = through_versions(TestRenameTable.scene)
