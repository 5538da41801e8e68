"""Columns become the primary key while code that tells rows apart by them reads and writes."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from evolve.testing.phase_harness import Rows, Scene, SceneContract, Version

pytestmark = pytest.mark.server


class Base(DeclarativeBase):
    pass


class Visit(Base):
    __tablename__ = "visits"

    id: Mapped[int] = mapped_column(primary_key=True)
    page: Mapped[str]


ROWS = Rows(Visit, lambda dice: {"page": dice.word()})


class TestAddPrimaryKey(SceneContract):
    scene = Scene(
        schema="""
            CREATE TABLE visits (id bigserial, page text NOT NULL);
            ALTER TABLE visits ALTER id DROP NOT NULL;
            INSERT INTO visits (page) SELECT 'page ' || n FROM generate_series(1, 400) n;
        """,
        plan=("add-primary-key", "visits", "id"),
        old=Version("old", ROWS),
        new=Version("new", ROWS),
        new_from=None,
        old_until=None,
        filled_from="expand",
        divergent="SELECT count(*) - count(DISTINCT id) FROM visits",
    )
