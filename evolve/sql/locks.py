"""Table lock modes and which of them exclude each other.

Source: the conflict table of PostgreSQL's manual, "Explicit Locking", unchanged from 12 to 18.
"""

from __future__ import annotations

from enum import IntEnum


class LockMode(IntEnum):
    """Table locks in PostgreSQL's own order, weakest first; `str()` is the server's spelling."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8

    def __str__(self) -> str:
        return self.name.replace("_", " ")

    @classmethod
    def from_pg_locks(cls, mode: str) -> LockMode:
        """Read `pg_locks.mode`, such as "AccessExclusiveLock"."""
        words = mode.removesuffix("Lock")
        return _BY_PG_NAME[words]

    def conflicts_with(self, other: LockMode) -> bool:
        return other in _CONFLICTS[self]

    @property
    def blocks_reads(self) -> bool:
        return self.conflicts_with(LockMode.ACCESS_SHARE)

    @property
    def blocks_writes(self) -> bool:
        return self.conflicts_with(LockMode.ROW_EXCLUSIVE)

    @property
    def blocks(self) -> str:
        """What users of the table notice, in words."""
        if self.blocks_reads:
            return "reads and writes"
        if self.blocks_writes:
            return "writes"
        if self >= LockMode.SHARE_UPDATE_EXCLUSIVE:
            return "only other schema changes and vacuum"
        return "nothing that applications do"


_BY_PG_NAME = {mode.name.title().replace("_", ""): mode for mode in LockMode}

_CONFLICTS: dict[LockMode, frozenset[LockMode]] = {
    LockMode.ACCESS_SHARE: frozenset({LockMode.ACCESS_EXCLUSIVE}),
    LockMode.ROW_SHARE: frozenset({LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE}),
    LockMode.ROW_EXCLUSIVE: frozenset(
        {LockMode.SHARE, LockMode.SHARE_ROW_EXCLUSIVE, LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE}
    ),
    LockMode.SHARE_UPDATE_EXCLUSIVE: frozenset(
        {
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            LockMode.SHARE,
            LockMode.SHARE_ROW_EXCLUSIVE,
            LockMode.EXCLUSIVE,
            LockMode.ACCESS_EXCLUSIVE,
        }
    ),
    LockMode.SHARE: frozenset(
        {
            LockMode.ROW_EXCLUSIVE,
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            LockMode.SHARE_ROW_EXCLUSIVE,
            LockMode.EXCLUSIVE,
            LockMode.ACCESS_EXCLUSIVE,
        }
    ),
    LockMode.SHARE_ROW_EXCLUSIVE: frozenset(m for m in LockMode if m >= LockMode.ROW_EXCLUSIVE),
    LockMode.EXCLUSIVE: frozenset(m for m in LockMode if m >= LockMode.ROW_SHARE),
    LockMode.ACCESS_EXCLUSIVE: frozenset(LockMode),
}
