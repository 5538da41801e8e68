"""Take a table under upkeep whose partitions somebody else made: say how they are cut, write that down, mark them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import tomlkit

from evolve.app.convert_table import BadOptions, partitioner_for
from evolve.app.plugins import method_named
from evolve.app.premake_partitions import check_scheme, configured_table, due_now, without_core
from evolve.config import PartitionedTable
from evolve.errors import Misuse, Refused
from evolve.files import refuse_unwritable, write_whole
from evolve.partition.adopt import Adoption, Scheme, remarks, scheme_of
from evolve.partition.maintain import Partitioned
from evolve.partition.shell import MARKER
from evolve.plugin_api import DefaultBound, Options, Problems, TableInfo
from evolve.postgres.adopting import mark, read_leaves, read_partman, read_zone
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversions import ConversionExists, find_conversion, last_scheme
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import holds_rows, read_partitioned
from evolve.postgres.writable import refuse_read_only
from evolve.sql.names import QualifiedName, literal

_SPAN = re.compile(r"(?:(\d+) )?(hour|day|week|month|quarter|year)s?")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class KeyNotTaken(Refused):
    def __init__(self, table: QualifiedName, key: Sequence[str], method: str) -> None:
        what = "an expression" if "" in key else f"{len(key)} columns"
        super().__init__(
            f'"{table.plain}" is partitioned by {method} over {what}, which no method of evolve makes partitions for',
            why="a bound of it cannot be computed from one column",
            fix="keep maintaining it as before, or write a method for it: evolve/docs/guides/plugins.md",
        )


class CannotWriteSettings(Misuse):
    def __init__(self, path: Path, text: str) -> None:
        super().__init__(
            f'the settings cannot be written into "{path}" as they stand there',
            why="what would come out is no TOML, or says something else; nothing was changed",
            fix="write it there yourself:\n" + text,
        )


@dataclass(frozen=True, slots=True)
class AdoptWish:
    """
    Args:
        method: None takes the one of the table.
        given: options of the user.
        file: the settings of the project; None where there are none yet.
        folder: where they are made then.
    """

    table: QualifiedName
    method: str | None
    given: Options
    file: Path | None
    folder: Path


def plan_adoption(
    url: str, tables: Mapping[str, PartitionedTable], wish: AdoptWish, now: datetime, *, writing: bool = False
) -> Adoption:
    """Look at the partitions and find their scheme; writes nothing.

    Args:
        writing: it is to be carried out at once, so a server that only reads is refused first.

    Raises:
        NoSuchTable, NotPartitioned, NoSuchMethod, BadOptions, SchemeDiffers, KeyNotTaken.
        ConversionExists: a conversion or a move is under way.
    """
    table = wish.table
    with connect(url, application_name="evolve partition adopt", autocommit=True) as connection:
        if writing:
            refuse_read_only(connection)
        running = find_conversion(connection, table)
        if running is not None:
            raise ConversionExists(table, running.state, running.conversion.command)
        info = read_inventory(connection, table).for_plugins()
        partitioned = read_partitioned(connection, table)
        if "" in partitioned.key or (len(partitioned.key) > 1 and partitioned.method != "hash"):
            raise KeyNotTaken(table, partitioned.key, partitioned.method)
        configured = configured_table(tables, table)
        method, scheme = _scheme(connection, configured, wish, partitioned, info, now)
        check_scheme(partitioned, scheme.partitioner)
        leaves = read_leaves(connection, table)
        said = (*remarks(scheme, partitioned, leaves), *_others(connection, table, partitioned))
        text, file = "", None
        if configured is None:
            file = wish.file or wish.folder / "evolve.toml"
            text = settings_text(table, method, scheme.options, whole_file=file.name != "pyproject.toml")
        return Adoption(
            table,
            method,
            scheme.options,
            partitioned,
            scheme.fitting,
            text,
            file,
            tuple(leaf for leaf in leaves if not (leaf.comment or "").startswith(MARKER)),
            said,
            due_now(connection, partitioned, scheme.partitioner, now),
        )


def adopt(url: str, adoption: Adoption) -> None:
    """Mark the partitions, then write the settings.

    Raises:
        CannotMark, CannotWrite, CannotWriteSettings: nothing was written, or only the marks.
    """
    after = None if adoption.file is None else _settings_after(adoption.file, adoption)
    if adoption.file is not None:
        refuse_unwritable(adoption.file.parent)
    with connect(url, application_name="evolve partition adopt", autocommit=True) as connection:
        refuse_read_only(connection)
        mark(connection, adoption.table, adoption.unmarked)
    if adoption.file is not None and after is not None:
        write_whole(adoption.file, after.encode())


def settings_text(table: QualifiedName, method: str, options: Options, *, whole_file: bool) -> str:
    """A section of TOML.

    Args:
        whole_file: the file is evolve's own, so that nothing stands before "partition".
    """
    prefix = "partition" if whole_file else "tool.evolve.partition"
    lines = [f"[{prefix}.{_key(table.plain)}]"]
    for name, value in {"method": method, **options}.items():
        lines.append(f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """In one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(name))} = {_toml(each)}" for name, each in value.items())
        return f"{{ {inner} }}"
    return tomlkit.item(value).as_string()


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _scheme(
    connection: Connection,
    configured: PartitionedTable | None,
    wish: AdoptWish,
    partitioned: Partitioned,
    info: TableInfo,
    now: datetime,
) -> tuple[str, Scheme]:
    table = wish.table
    known = None if configured is None else (configured.method, without_core(configured.options))
    if known is None and (noted := last_scheme(connection, table)) is not None:
        known = (noted.method, noted.options)
    if known is not None and wish.method in (None, known[0]):
        method, options = known[0], {**known[1], **wish.given}
        made = partitioner_for(table, method, options, info)
        found: Scheme | Problems = scheme_of(type(made), partitioned, info, options, ("UTC",), now)
        fitting = 0 if isinstance(found, Problems) else found.fitting
        return method, Scheme(options, made, fitting)
    method = wish.method or partitioned.method
    zones = tuple(dict.fromkeys(("UTC", read_zone(connection))))
    found = scheme_of(method_named(method), partitioned, info, wish.given, zones, now)
    if isinstance(found, Problems):
        raise BadOptions(table, method, found.found)
    options = {**found.options, **_kept_ready(read_partman(connection, table), found.options)}
    return method, Scheme(options, partitioner_for(table, method, options, info), found.fitting)


def _kept_ready(
    partman: tuple[str, Mapping[str, object] | None] | None, options: Options
) -> dict[str, object]:
    """As many partitions ahead as pg_partman keeps ready, in terms of the interval that was found."""
    count = partman[1].get("premake") if partman is not None and partman[1] is not None else None
    interval = options.get("interval")
    if not isinstance(count, int) or count < 1 or "premake" in options:
        return {}
    if isinstance(interval, int):
        return {"premake": count * interval}
    span = _SPAN.fullmatch(interval) if isinstance(interval, str) else None
    return {} if span is None else {"premake": f"{count * int(span[1] or 1)} {span[2]}s"}


def _others(connection: Connection, table: QualifiedName, partitioned: Partitioned) -> tuple[str, ...]:
    """Who else maintains the table, and what stands in the way of upkeep."""
    said = []
    for partition in partitioned.partitions:
        leaf = QualifiedName(partition.name, table.schema)
        if isinstance(partition.bound, DefaultBound) and holds_rows(connection, leaf.full):
            said.append(
                f"{partition.name} holds rows, which stand in the way of the partitions that they belong to: "
                f"evolve partition drain {table.shell}"
            )
    partman = read_partman(connection, table)
    if partman is not None:
        name, row = partman
        if row is None:
            said.append(
                f"pg_partman is here, and this role may not read {name}: it may maintain the table too"
            )
        else:
            kept = f", premake {row.get('premake')}" + (
                f", retention {row['retention']}" if row.get("retention") else ""
            )
            parent = literal(f"{table.schema}.{table.name}")
            off = f"UPDATE {name} SET automatic_maintenance = 'off' WHERE parent_table = {parent}"  # noqa: S608 - shown
            said.append(
                f"pg_partman maintains it as well (interval {row.get('partition_interval')}{kept}), and two would "
                f"make the same partitions: {off}"
            )
    return tuple(said)


def _settings_after(file: Path, adoption: Adoption) -> str:
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    after = before + gap + adoption.settings
    try:
        read: object = tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        raise CannotWriteSettings(file, adoption.settings) from error
    path = ["partition", adoption.table.plain]
    for name in path if file.name != "pyproject.toml" else ["tool", "evolve", *path]:
        read = read.get(name) if isinstance(read, dict) else None
    if not isinstance(read, dict) or read.get("method") != adoption.method:
        raise CannotWriteSettings(file, adoption.settings)
    return after
