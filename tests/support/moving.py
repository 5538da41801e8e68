"""Partitioned orders whose partitions are drained, split, merged and rehashed; moves killed at a chosen moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evolve.app import convert_table
from evolve.app.move_partitions import MoveWish, plan_move
from evolve.partition.plan import Wish
from support.command_line import python
from support.conversion import MONTHS, ORDERS, PER_PARTITION, TESTS, acted, converted, planned
from support.orders import NOW, execute, make_orders

if TYPE_CHECKING:
    from evolve.partition.conversion import Conversion, Move

WISHES: Mapping[Move, tuple[tuple[str, ...], Mapping[str, object]]] = {
    "drain": ((), {}),
    "split": (("orders_p2026_07",), {"interval": "week"}),
    "merge": (("orders_p2026_06", "orders_p2026_07", "orders_p2026_08"), {}),
    "rehash": ((), {"modulus": 6}),
}


def make_partitioned(url: str, command: Move, rows: int = 3_000, *, extras: bool = False) -> None:
    """Orders by month, or hashed into four, as `command` needs them."""
    make_orders(url, rows, extras=extras)
    if command in ("merge", "rehash"):
        # Unique within each partition could not hold in one that takes the rows of several.
        execute(url, "DROP INDEX orders_ext_ref; CREATE INDEX orders_ext_ref ON orders (ext_ref)")
    unique = PER_PARTITION if command in ("drain", "split") else {}
    if command == "rehash":
        wish = Wish(ORDERS, "hash", {"key": "id", "modulus": 4}, "copy", unique)
        conversion = convert_table.plan_conversion(url, wish, NOW)
    else:
        conversion = planned(url, "copy", MONTHS, unique)
    converted(url, conversion)
    acted(url, "finish")
    if command == "drain":
        execute(
            url,
            """
            CREATE TABLE orders_default PARTITION OF orders DEFAULT;
            CREATE UNIQUE INDEX orders_default_orders_ext_ref ON orders_default (ext_ref);
            ALTER TABLE orders DETACH PARTITION orders_p2026_07;
            ALTER TABLE orders DETACH PARTITION orders_p2026_08;
            ALTER TABLE orders DISABLE TRIGGER USER;
            """
            + "".join(
                f"INSERT INTO orders ({_STORED}) OVERRIDING SYSTEM VALUE SELECT {_STORED} FROM {old};"
                f"DROP TABLE {old};"
                for old in ("orders_p2026_07", "orders_p2026_08")
            )
            + "INSERT INTO orders (id, tenant_id, customer_id, region, created_at)"
            "  VALUES (1000000, 1, 1, 'eu', '2026-04-15');"
            "ALTER TABLE orders ENABLE TRIGGER USER"
            + (";ALTER TABLE orders DISABLE TRIGGER orders_off" if extras else ""),
        )
    execute(url, "ANALYZE orders")


def move(url: str, command: Move) -> Conversion:
    partitions, how = WISHES[command]
    return plan_move(url, {}, MoveWish(ORDERS, command, partitions, how), NOW)


def killed(
    url: str,
    command: str,
    action: str,
    *,
    step: int,
    moment: Literal["begins", "ends", "progresses"],
    track: str = "forward",
) -> int:
    """Run `action` in a process that kills itself (SIGKILL) at `moment` of `step`; its exit status, -9 where it did."""
    done = python(
        _SUICIDE, *(url, command, action, track, str(step), moment),
        cwd=Path.cwd(), env=os.environ, path=TESTS, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


_STORED = "id, tenant_id, customer_id, region, status, created_at, updated_at, amount, ext_ref, note"

_SUICIDE = """
import os, signal, sys
from support.conversion import Watcher, acted, converted
from support.moving import move
url, command, action, track, step, moment = sys.argv[1:]

class Killer(Watcher):
    def _check(self, now, track_now, number):
        if (now, track_now, number) == (moment, track, int(step)):
            os.kill(os.getpid(), signal.SIGKILL)
    def begins(self, track_now, step_now, number, total):
        self._at = (track_now, number)
        self._check("begins", track_now, number)
    def progresses(self, *_):
        self._check("progresses", *self._at)
    def ends(self, track_now, step_now, number, total, seconds):
        self._check("ends", track_now, number)

if action == "move":
    converted(url, move(url, command), Killer())
else:
    acted(url, action, Killer())
"""
