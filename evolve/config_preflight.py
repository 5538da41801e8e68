"""`[tool.evolve.preflight]`: what a server must have left before an upgrade begins."""

from __future__ import annotations

import re
from dataclasses import field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING

from evolve.config_table import Table
from evolve.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIZE = re.compile(
    r"(?:(?P<place>[^=]+)=)?\s*(?P<number>\d{1,15}(?:\.\d{1,15})?)\s*(?P<unit>[kMGTP]?i?)B?\s*", re.ASCII
)
_UNITS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5}
A_SIZE = "a size such as 20GB, or TABLESPACE=20GB"


@dataclass(frozen=True, slots=True)
class Preflight:
    """
    Args:
        longest_lock: seconds that readers or writers may wait for one statement.
        longest_transaction: seconds from which on an open transaction is an old one.
        retained_wal: megabytes that a replication slot may keep.
        replica_lag: megabytes that a standby may be behind.
        transactions_left: that must be left before wraparound.
        disk_free: tablespace → bytes that are free there; "" is any that is not named.
        role: that env.py switches to, where it runs SET ROLE.
    """

    longest_lock: float = 2.0
    longest_transaction: float = 60.0
    retained_wal: int = 10_000
    replica_lag: int = 1_000
    transactions_left: int = 100_000_000
    disk_free: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    role: str | None = None


def read_preflight(table: Table) -> Preflight:
    table.allow(named.name for named in fields(Preflight))
    default = Preflight()
    free: dict[str, int] = {}
    for text in table.texts("disk_free"):
        size = read_size(text)
        if size is None:
            raise table.bad("disk_free", f"a list, each of it {A_SIZE}", text)
        free[size[0]] = size[1]
    return Preflight(
        longest_lock=table.seconds("longest_lock", default.longest_lock),
        longest_transaction=table.seconds("longest_transaction", default.longest_transaction),
        retained_wal=table.whole("retained_wal", default.retained_wal),
        replica_lag=table.whole("replica_lag", default.replica_lag),
        transactions_left=table.whole("transactions_left", default.transactions_left),
        disk_free=MappingProxyType(free),
        role=table.text("role", None),
    )


def read_size(text: str) -> tuple[str, int] | None:
    """(tablespace, bytes) of "20GB", "500 MiB" or "fast=1.5TB"; "" where no tablespace is named, None for no size."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    unit = found["unit"]
    factor = (1024 if unit.endswith("i") else 1000) ** _UNITS[unit.removesuffix("i")]
    return (found["place"] or "").strip(), int(float(found["number"]) * factor)
