"""A serial column becomes an identity while code inserts with numbers of its own, by name, and without any."""

from __future__ import annotations

import pytest
from sqlalchemy import Identity, Sequence
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from evolve.testing.phase_harness import Rows, Scene, SceneContract, Values, Version

pytestmark = pytest.mark.server


class OldBase(DeclarativeBase):
    pass


class NamedBase(DeclarativeBase):
    pass


class NewBase(DeclarativeBase):
    pass


class OldOrder(OldBase):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]


class NamedOrder(NamedBase):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(Sequence("orders_id_seq"), primary_key=True)
    note: Mapped[str]


class NewOrder(NewBase):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    note: Mapped[str]


class MoreRows(Rows):
    """Rows of a table that others answer for as it was at the beginning."""

    def existing(self, session: Session) -> list[tuple[object, Values]]:
        return []


class TestSerialToIdentity(SceneContract):
    scene = Scene(
        schema="""
            CREATE TABLE orders (id serial PRIMARY KEY, note text NOT NULL);
            INSERT INTO orders (note) SELECT 'order ' || n FROM generate_series(1, 300) n;
        """,
        plan=("serial-to-identity", "orders.id"),
        old=Version(
            "old",
            Rows(OldOrder, lambda dice: {"note": dice.word()}),
            MoreRows(NamedOrder, lambda dice: {"note": dice.word()}),
        ),
        new=Version(
            "new",
            Rows(NewOrder, lambda dice: {"note": dice.word()}),
            MoreRows(NewOrder, lambda dice: {"note": dice.word()}),
        ),
        new_from=None,
        old_until=None,
    )
