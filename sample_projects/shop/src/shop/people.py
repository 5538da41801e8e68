"""What people do in the shop: one thing after another, chosen by chance, each write kept in a ledger."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from shop.ledger import Ledger, order_value
from shop.service import NEXT_STATUS, Shop


@dataclass(frozen=True, slots=True)
class Share:
    """Which users a program may write; programs with different numbers never write the same user.

    Args:
        number: from 1 to `of`.
    """

    number: int = 1
    of: int = 1

    def users(self, newest: int) -> range:
        return range(self.number, newest + 1, self.of)

    def split(self, parts: int) -> list[Share]:
        """Divide this share among the clients of one program."""
        return [Share(self.number + self.of * part, self.of * parts) for part in range(parts)]


class People:
    """Those whom one client serves: they read anything and write only users of `share` and their orders."""

    def __init__(self, client: str, shop: Shop, share: Share, ledger: Ledger, chance: random.Random) -> None:
        self._client = client
        self._shop = shop
        self._share = share
        self._ledger = ledger
        self._chance = chance
        self._newest = shop.newest_user_id()
        self._names = 0
        self._deeds: dict[str, tuple[int, Callable[[], object]]] = {
            "read user": (38, self._read_user),
            "recent orders": (15, shop.recent_orders),
            "place order": (17, self._place_order),
            "rename user": (15, self._rename_user),
            "advance order": (10, self._advance_order),
            "sign up": (4, self._sign_up),
            "withdraw order": (1, self._withdraw_order),
        }

    def next_deed(self) -> tuple[str, Callable[[], object]]:
        """Choose a kind and what to call; to call it once more is to try once more."""
        weights = [weight for weight, _ in self._deeds.values()]
        kind = self._chance.choices(list(self._deeds), weights)[0]
        return kind, self._deeds[kind][1]

    def _read_user(self) -> None:
        self._shop.profile(self._chance.randint(1, max(1, self._newest)))

    def _sign_up(self) -> None:
        name = self._new_name()
        email = f"{name}.{self._chance.getrandbits(64):016x}@traffic.example"
        user_id = self._shop.sign_up(email, name)
        self._ledger.wrote("email of user", user_id, email)
        if user_id in self._share.users(user_id):
            self._ledger.wrote("name of user", user_id, name)

    def _rename_user(self) -> None:
        if user_id := self._own_user():
            name = self._new_name()
            self._ledger.write("name of user", user_id, name, lambda: self._shop.rename(user_id, name))

    def _place_order(self) -> None:
        if user_id := self._own_user():
            total = Decimal(self._chance.randint(100, 50_000)).scaleb(-2)
            order_id = self._shop.place_order(user_id, total, note=self._new_name())
            self._ledger.wrote("order", order_id, order_value("new", total))

    def _advance_order(self) -> None:
        if order := self._own_order(NEXT_STATUS):
            value = order_value(NEXT_STATUS[order.status], order.total)
            self._ledger.write("order", order.id, value, lambda: self._shop.advance_order(order.id))

    def _withdraw_order(self) -> None:
        if order := self._own_order(["new"]):
            self._ledger.write("order", order.id, None, lambda: self._shop.withdraw_order(order.id))

    def _own_user(self) -> int | None:
        users = self._share.users(self._newest)
        return self._chance.choice(users) if users else None

    def _own_order(self, statuses: Collection[str]) -> Any:
        user_id = self._own_user()
        return self._shop.oldest_order(user_id, statuses) if user_id else None

    def _new_name(self) -> str:
        """Return a name that was never used, so that each write differs from all others."""
        self._names += 1
        return f"{self._client}-{self._names}"
