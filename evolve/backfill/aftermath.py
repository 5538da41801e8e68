"""What a run leaves to the server's housekeeping: statistics, dead rows, indexes that grew; and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from evolve.sql.names import QualifiedName
from evolve.values import dataclass

GREW = 1.5  # times its size before, from which an index is worth to be built anew
WORTH = 8_000_000  # bytes of growth below which nothing is worth a command


@dataclass(frozen=True, slots=True)
class Tidiness:
    """How a table, or a leaf of it, stands.

    Args:
        bytes: of the heap alone.
        live, dead: row versions, by the server's statistics.
        vacuumed_above: dead row versions with which autovacuum begins; None where it is off for this table.
        indexes: name → bytes.
    """

    table: QualifiedName
    bytes: int
    live: int
    dead: int
    vacuumed_above: int | None
    indexes: Mapping[QualifiedName, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hint:
    """Something the operator may want to do.

    Args:
        kind: "analyze", "vacuum" or "reindex".
        why: with its numbers.
        command: SQL.
    """

    kind: str
    why: str
    command: str


@dataclass(frozen=True, slots=True)
class Aftermath:
    """
    Args:
        analyzed: new statistics were taken.
        not_analyzed: why not, where that was tried; None else.
        live, dead: row versions of all that was written to, by the server's statistics.
        bytes_before: of the heaps, when this process began to work on the run.
    """

    analyzed: bool
    not_analyzed: str | None
    live: int
    dead: int
    bytes: int
    bytes_before: int
    hints: tuple[Hint, ...]


def aftermath(
    table: QualifiedName,
    before: Sequence[Tidiness],
    after: Sequence[Tidiness],
    *,
    analyzed: bool,
    not_analyzed: str | None,
) -> Aftermath:
    """
    Args:
        table: that was written to; `before`, `after`: itself, or its leaves.
    """
    known = {each.table: each for each in before}
    hints = []
    if not_analyzed is not None:
        hints.append(Hint("analyze", f"not analyzed: {not_analyzed}", f"ANALYZE {table}"))
    for each in after:
        vacuum = _vacuum(each)
        if vacuum is not None:
            hints.append(vacuum)
    for each in after:
        old = known.get(each.table)
        for index, size in each.indexes.items():
            was = 0 if old is None else old.indexes.get(index, 0)
            if was and size >= was * GREW and size - was >= WORTH:
                hints.append(
                    Hint(
                        "reindex",
                        f'index "{index.plain}" grew {size / was:.1f} times,'
                        f" from {megabytes(was)} to {megabytes(size)}",
                        f"REINDEX INDEX CONCURRENTLY {index}",
                    )
                )
    return Aftermath(
        analyzed=analyzed,
        not_analyzed=not_analyzed,
        live=sum(each.live for each in after),
        dead=sum(each.dead for each in after),
        bytes=sum(each.bytes for each in after),
        bytes_before=sum(each.bytes for each in before),
        hints=tuple(hints),
    )


def _vacuum(table: Tidiness) -> Hint | None:
    """None where autovacuum comes by itself, or where too little is dead to matter."""
    rows = table.live + table.dead
    if not table.dead or table.bytes * table.dead < WORTH * rows:
        return None
    share = f'{table.dead:,} dead row versions in "{table.table.plain}", {table.dead / rows:.0%} of all'
    if table.vacuumed_above is None:
        why = f"{share}, and autovacuum is off for it"
    elif table.dead <= table.vacuumed_above:
        why = f"{share}; autovacuum begins above {table.vacuumed_above:,}"
    else:
        return None
    return Hint("vacuum", why, f"VACUUM {table.table}")


def megabytes(size: float) -> str:
    """Bytes for a person, with the units of `pg_size_pretty` but powers of a thousand."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.{1 if size < scale * 99.5 else 0}f} {unit}"
    return f"{size:.0f} B"
