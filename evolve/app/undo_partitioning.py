"""What undoing a conversion or a move after its swap would do and lose. Nothing is written here."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evolve.app.convert_table import CannotRollBack
from evolve.errors import Misuse, Refused
from evolve.partition.conversion import Conversion, Record
from evolve.partition.inventory import Inventory
from evolve.plugin_api import bound_sql
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversion_steps import RowsPassedTheBound
from evolve.postgres.conversions import find_conversion
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import read_partitioned, rows_missing
from evolve.postgres.way_back import rows_beside, rows_emptied
from evolve.postgres.writable import refuse_read_only
from evolve.sql.names import QualifiedName


class NothingToUndo(Misuse):
    def __init__(self, table: QualifiedName, why: str) -> None:
        super().__init__(
            f'"{table.plain}": there is nothing to undo',
            why=why,
            fix=f"look at it: evolve partition status {table.shell}",
        )


class NotSwappedYet(Refused):
    def __init__(self, table: QualifiedName, command: str) -> None:
        super().__init__(
            f'evolve partition {command} "{table.plain}" has not come to its swap: the table is what it was',
            fix=f"evolve partition {command} {table.shell} --rollback, or --resume",
        )


class NothingKept(Refused):
    """It was finished: what it replaced is gone."""

    def __init__(self, conversion: Conversion) -> None:
        super().__init__(
            f'evolve partition {conversion.command} "{conversion.table.plain}" was finished and cannot be undone',
            why="what it replaced was dropped, or is no longer kept in step",
            fix=_other_way(conversion),
        )


class PartitionGone(Refused):
    def __init__(self, table: QualifiedName, names: Sequence[str]) -> None:
        listed = ", ".join(names)
        super().__init__(
            f'"{table.plain}": {listed} cannot give way, being no longer its partition{"s"[: len(names) - 1]}',
            why="somebody detached or dropped what the old partitions are to take the place of",
            fix=f"attach it again, or stay: evolve partition finish {table.shell}",
        )


class RowsWouldGo(Refused):
    """Rows came to the table past the trigger that keeps the old one in step."""

    def __init__(self, table: QualifiedName, lost: Sequence[str]) -> None:
        listed = "".join(f"\n  - {each}" for each in lost)
        super().__init__(
            f'going back would take rows from "{table.plain}" that the old table does not have:{listed}',
            fix=f"detach what holds them first; or let them go: evolve partition undo {table.shell} --run",
        )


@dataclass(frozen=True, slots=True)
class Undoing:
    """Args:
    lost: what is there now and would not be there any more, each as a sentence without a full stop.
    returns: what would be there again although somebody took it away since.
    """

    record: Record
    lost: tuple[str, ...]
    returns: tuple[str, ...]


def plan_undo(url: str, table: QualifiedName, *, writing: bool = False) -> Undoing:
    """Look at what came since the swap; writes nothing. `convert_table.roll_back` does it.

    Args:
        writing: it is to be done at once, so a server that only reads is refused first.

    Raises:
        NothingToUndo: evolve did nothing to the table, or it is undone already.
        NotSwappedYet, NothingKept, CannotRollBack, RowsPassedTheBound, PartitionGone: there is no way back.
        NoSuchTable, UnreadablePlan.
    """
    with connect(url, application_name="evolve partition", autocommit=True) as connection:
        if writing:
            refuse_read_only(connection)
        record = find_conversion(connection, table, ended=True)
        if record is None:
            read_inventory(connection, table)
            raise NothingToUndo(table, "evolve has neither converted it nor moved partitions of it")
        conversion = record.conversion
        match record.state:
            case "abandoned":
                raise NothingToUndo(table, f"the last {conversion.command} was given up, or undone")
            case "finished":
                raise NothingKept(conversion)
            case "running":
                raise NotSwappedYet(table, conversion.command)
            case "swapped back":
                return Undoing(record, (), ())  # the rest only clears away
            case "swapped":
                pass
        if record.track == "finish":
            raise CannotRollBack(table)
        _refuse_passed_bound(connection, conversion)
        if conversion.replaced is not None:
            _refuse_gone(connection, conversion)
            return Undoing(record, (), ())
        found = read_inventory(connection, table)
        lost = (*_came_since(conversion, found), *_rows_lost(connection, conversion))
        returns = tuple(_gone_since(connection, conversion)) if conversion.recipe == "copy" else ()
        return Undoing(record, lost, returns)


def refuse_to_lose_rows(url: str, table: QualifiedName) -> None:
    """Before a way back that nobody was shown.

    Raises:
        RowsWouldGo: it would lose some.
    """
    with connect(url, application_name="evolve partition", autocommit=True) as connection:
        record = find_conversion(connection, table)
        lost = (
            tuple(_rows_lost(connection, record.conversion)) if record and record.state == "swapped" else ()
        )
    if lost:
        raise RowsWouldGo(table, lost)


def _other_way(conversion: Conversion) -> str:
    table = conversion.table.shell
    match conversion.recipe:
        case "split" | "drain":
            names = shlex.join(partition.name for partition in conversion.partitions)
            return f"make one of them again: evolve partition merge {table} {names}"
        case "merge":
            return (
                f"cut it again: evolve partition split {table} {shlex.quote(conversion.partitions[0].name)}"
            )
        case "rehash":
            count = len(conversion.replaced or ())
            return f"evolve partition rehash {table} --modulus {count}"
        case "copy" | "attach":
            return f"change how it is cut instead: evolve partition split {table} …, or merge"


def _refuse_passed_bound(connection: Connection, conversion: Conversion) -> None:
    if conversion.recipe == "attach":
        beside = rows_beside(connection, conversion.table, conversion.inventory.oid)
        if beside is not None:
            raise RowsPassedTheBound(conversion.table, beside)


def _refuse_gone(connection: Connection, conversion: Conversion) -> None:
    there = {partition.name for partition in read_partitioned(connection, conversion.table).partitions}
    gone = [partition.name for partition in conversion.partitions if partition.name not in there]
    if gone:
        raise PartitionGone(conversion.table, gone)


def _came_since(conversion: Conversion, found: Inventory) -> Iterator[str]:
    """What hangs on the table now and did not hang on it when the plan was made."""
    before = conversion.inventory
    own = frozenset(conversion.own)
    after = found.without(own)
    for what, then, now in (
        ("index", before.indexes, after.indexes),
        ("key", before.keys, after.keys),
        ("CHECK", before.checks, after.checks),
        ("foreign key", before.foreign_keys, after.foreign_keys),
        ("trigger", before.triggers, after.triggers),
        ("policy", before.policies, after.policies),
    ):
        names = {item.name for item in then}
        for item in now:
            if item.name not in names:
                yield f"the {what} {item.name}, which came since"
    for grant in found.grants:
        if grant not in before.grants:
            yield f"{grant.privilege} for {grant.grantee}, granted since"
    for thing in found.others:
        if thing not in before.others:
            yield f"{thing}, which came since, stays with the partitioned table and goes with it"


def _rows_lost(connection: Connection, conversion: Conversion) -> Iterator[str]:
    """Rows that no trigger brought to the old table: those of partitions that were attached with rows in them."""
    if conversion.recipe != "copy":
        return
    key = conversion.inventory.primary_key
    planned = {partition.name for partition in conversion.partitions}
    for partition in read_partitioned(connection, conversion.table).partitions:
        if partition.name in planned or key is None:
            continue
        leaf = QualifiedName(partition.name, conversion.table.schema)
        count = rows_missing(connection, leaf, conversion.names.retired, key.columns)
        if count:
            yield (
                f"{count:,} rows of {partition.name} {bound_sql(partition.bound)}, which was attached since with "
                "rows in it"
            )


def _gone_since(connection: Connection, conversion: Conversion) -> Iterator[str]:
    """Rows that went without a trigger that would have told the old table."""
    there = {partition.name for partition in read_partitioned(connection, conversion.table).partitions}
    for planned in conversion.partitions:
        if planned.name not in there:
            yield f"the rows of {planned.name} {planned.bound}, which was detached or dropped since"
    key = conversion.inventory.primary_key
    columns = key.columns if key is not None else ()
    for leaf, count in rows_emptied(connection, conversion.table, conversion.names.retired, columns):
        yield f"{count:,} rows of {leaf.name}, which was emptied by TRUNCATE since"
