"""The names a conversion uses for what it makes, and for what it moves aside."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.sql.names import QualifiedName, quote, shorten

# Sorts before any other name: PostgreSQL fires triggers in the order of their names, and a trigger of the user's own
# that writes the same row again must come after ours, or the older of the two versions would win.
SYNC_TRIGGER = "!evolve_sync"
TRUNCATE_TRIGGER = "!evolve_sync_truncate"

JOURNAL = "evolve"


@dataclass(frozen=True, slots=True)
class Names:
    """Args:
    table: what the application calls it.
    oid: of the table as it is before; keeps the functions of different tables apart.
    """

    table: QualifiedName
    oid: int

    @property
    def shadow(self) -> QualifiedName:
        """The partitioned table, until it takes the table's name."""
        return self._beside("evolve_new")

    @property
    def retired(self) -> QualifiedName:
        """The old table, once it has given up its name."""
        return self._beside("evolve_old")

    @property
    def strays(self) -> QualifiedName:
        """Catches rows that no partition takes yet."""
        return self._beside("evolve_strays")

    @property
    def bound_check(self) -> str:
        return shorten(self.table.name, "evolve_bound")

    @property
    def wide_key(self) -> str:
        """A unique index over primary key and partition key, on the old table."""
        return shorten(self.table.name, "evolve_key")

    @property
    def narrow_key(self) -> str:
        """A unique index over the primary key alone, for the way back."""
        return shorten(self.table.name, "evolve_id")

    @property
    def forward_function(self) -> str:
        return f"{JOURNAL}.{quote(f'partition_forward_{self.oid}')}"

    @property
    def reverse_function(self) -> str:
        return f"{JOURNAL}.{quote(f'partition_reverse_{self.oid}')}"

    def fresh(self, name: str) -> str:
        """What an index or sequence of the shadow is called until the swap."""
        return shorten(name, "evolve_new")

    def old(self, name: str) -> str:
        """What an index or sequence of the old table is called from the swap on."""
        return shorten(name, "evolve_old")

    def in_schema(self, name: str) -> str:
        return QualifiedName(name, self.table.schema).full

    def _beside(self, suffix: str) -> QualifiedName:
        return QualifiedName(shorten(self.table.name, suffix), self.table.schema)
