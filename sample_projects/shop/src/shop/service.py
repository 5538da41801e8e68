"""What the shop does: each method is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, selectinload, sessionmaker

NEXT_STATUS = {"new": "paid", "paid": "shipped", "shipped": "delivered"}


class Shop:
    """The application in one of its releases: `release` is "v1", "v2" or "v3"."""

    def __init__(self, release: str, engine: Engine) -> None:
        self.models: Any = import_module(f"shop.{release}.models")
        self.sessions = sessionmaker(engine, expire_on_commit=False)

    def newest_user_id(self) -> int:
        """0 when there are no users."""
        with self.sessions() as session:
            return session.scalar(select(func.max(self.models.User.id))) or 0

    def emails(self, user_ids: Sequence[int]) -> Sequence[Any]:
        """Return (id, e-mail) of the users there are."""
        return self._read_users(self.models.User.email, user_ids)

    def names(self, user_ids: Sequence[int]) -> Sequence[Any]:
        """Return (id, name) of the users there are."""
        return self._read_users(self.models.User.display_name, user_ids)

    def orders(self, order_ids: Sequence[int]) -> Sequence[Any]:
        order = self.models.Order
        with self.sessions() as session:
            return session.execute(
                select(order.id, order.status, order.total).where(order.id.in_(order_ids))
            ).all()

    def sign_up(self, email: str, name: str) -> int:
        with self.sessions.begin() as session:
            user = self.models.User(email=email, display_name=name)
            session.add(user)
            session.flush()
            return user.id

    def rename(self, user_id: int, name: str) -> bool:
        """Return False if there is no such user."""
        with self.sessions.begin() as session:
            user = session.get(self.models.User, user_id)
            if user is None:
                return False
            user.display_name = name
            return True

    def profile(self, user_id: int) -> Any:
        """Return the user with orders, or None."""
        user_class = self.models.User
        with self.sessions() as session:
            return session.scalar(
                select(user_class).where(user_class.id == user_id).options(selectinload(user_class.orders))
            )

    def recent_orders(self, limit: int = 20) -> Sequence[Any]:
        order = self.models.Order
        with self.sessions() as session:
            return session.scalars(select(order).order_by(order.created_at.desc()).limit(limit)).all()

    def place_order(self, user_id: int, total: Decimal, note: str) -> int:
        with self.sessions.begin() as session:
            order = self.models.Order(user_id=user_id, status="new", total=total, note=note)
            session.add(order)
            session.flush()
            return order.id

    def oldest_order(self, user_id: int, statuses: Collection[str]) -> Any:
        """Return the user's oldest order in one of `statuses`, or None."""
        order = self.models.Order
        with self.sessions() as session:
            return session.scalar(
                select(order)
                .where(order.user_id == user_id, order.status.in_(statuses))
                .order_by(order.id)
                .limit(1)
            )

    def advance_order(self, order_id: int) -> bool:
        """Move an open order one status on; return False if there is nothing to move."""
        with self.sessions.begin() as session:
            order = self._order_for_update(session, order_id)
            if order is None or order.status not in NEXT_STATUS:
                return False
            order.status = NEXT_STATUS[order.status]
            return True

    def withdraw_order(self, order_id: int) -> bool:
        """Delete an order that nobody has paid; return False if there is none to delete."""
        with self.sessions.begin() as session:
            order = self._order_for_update(session, order_id)
            if order is None or order.status != "new":
                return False
            session.delete(order)
            return True

    def _read_users(self, column: Any, user_ids: Sequence[int]) -> Sequence[Any]:
        user = self.models.User
        with self.sessions() as session:
            return session.execute(select(user.id, column).where(user.id.in_(user_ids))).all()

    def _order_for_update(self, session: Session, order_id: int) -> Any:
        order = self.models.Order
        return session.scalar(
            # Two clerks take turns; key_share lets rows that refer to this one be written meanwhile.
            select(order).where(order.id == order_id).with_for_update(key_share=True)
        )
