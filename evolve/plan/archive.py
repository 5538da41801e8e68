"""Keep what a purge would drop: old columns as (key, values) in a table of schema evolve, an old table as it is."""

# ruff: noqa: S608 - the names are quoted, and there is no user's text in it
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.errors import Misuse
from evolve.plan.model import QUARANTINE, Part, Phase, Plan
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.operations import DropColumn, DropTable
from evolve.sql.parse import parse
from evolve.sql.statements import Statement


class NothingToArchive(Misuse):
    def __init__(self, change: str) -> None:
        super().__init__(
            f'--archive: purge of change "{change}" drops no column and no table',
            why="there is no value that would be lost",
            fix="leave it out",
        )


def archive_name(change: str, number: int = 0) -> QualifiedName:
    """The table that holds what the purge of `change` dropped; `number` tells those of several tables apart."""
    return QualifiedName(shorten("archive", change if not number else f"{change}_{number}"), "evolve")


def with_archive(plan: Plan) -> Plan:
    """`plan`, whose purge keeps what it drops.

    Raises:
        NothingToArchive.
    """
    return replace(
        plan,
        phases=tuple(_keeping(plan.id, phase) if phase.name == "purge" else phase for phase in plan.phases),
    )


def _keeping(change: str, phase: Phase) -> Phase:
    columns: dict[QualifiedName, list[str]] = {}
    for statement in phase.statements:
        for operation in parse(statement.sql):
            match operation:
                case DropColumn(table, column) if column.startswith(QUARANTINE):
                    columns.setdefault(table, []).append(column)
    parts = [
        _copied(table, names, archive_name(change, number))
        for number, (table, names) in enumerate(columns.items())
    ]
    moved = [_moved(part, change, len(columns)) for part in phase.parts]
    if not parts and moved == list(phase.parts):
        raise NothingToArchive(change)
    kept = [archive_name(change, number) for number in range(len(columns) or 1)]
    return replace(
        phase,
        parts=(*parts, *moved),
        go_back=f"{phase.go_back}; what was dropped is in {', '.join(name.plain for name in kept)}",
    )


def _copied(table: QualifiedName, columns: list[str], archive: QualifiedName) -> Part:
    """The key and `columns` of each row that has a value in one of them.

    The key is asked of the catalog when it runs: columns of it may have other names by then than when this was planned.
    """
    names = ", ".join(quote(column) for column in columns)
    some = " OR ".join(f"{quote(column)} IS NOT NULL" for column in columns)
    back = ", ".join(
        f"{quote(column)} = coalesce(t.{quote(column)}, a.{quote(column)})" for column in columns
    )
    first, rest = f"CREATE TABLE {archive} AS SELECT ", f", {names} FROM {table} WHERE {some}"
    copy = _with_key(
        table,
        "string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)",
        f"{_text(first)} || evolve_key || {_text(rest)}",
        before=_kept_apart(archive),
    )
    restore = _with_key(
        table,
        "string_agg(pg_catalog.format('t.%1$I = a.%1$I', a.attname), ' AND ')",
        f"{_text(f'UPDATE {table} AS t SET {back} FROM {archive} AS a WHERE ')} || evolve_key",
    )
    return Part(
        f"keep what {table.plain} holds out of sight in {archive.plain}",
        (
            Statement("CREATE SCHEMA IF NOT EXISTS evolve", None, "an empty namespace"),
            Statement(
                copy,
                LockMode.ACCESS_SHARE,
                "everybody goes on reading and writing while the rows are copied; what is written meanwhile is made "
                "from the new shape, and can be made from it again",
                allow=("do-block-opaque",),
            ),
        ),
        (
            Statement(
                restore,
                LockMode.ROW_EXCLUSIVE,
                "only rows that lack the value are written, all in one transaction",
            ),
        ),
    )


def _kept_apart(archive: QualifiedName) -> tuple[str, ...]:
    """Of an earlier purge that was gone back on: it may hold values of rows that have been deleted since."""
    return (
        f"IF pg_catalog.to_regclass({_text(archive.full)}) IS NOT NULL THEN",
        f"  EXECUTE pg_catalog.format('ALTER TABLE %s RENAME TO %I', {_text(str(archive))},",
        f"    {_text(archive.name[:40] + '_')} || pg_catalog.to_char(pg_catalog.now(), 'YYYYMMDD_HH24MISS'));",
        "END IF;",
    )


def _with_key(table: QualifiedName, key: str, statement: str, before: tuple[str, ...] = ()) -> str:
    lines = "\n  ".join(before)
    return f"""DO $evolve$
DECLARE
  evolve_key text;
  evolve_row_security text := pg_catalog.current_setting('row_security');
BEGIN
  PERFORM pg_catalog.set_config('row_security', 'off', true); -- rows that it would hide would be left out
  SELECT {key} INTO evolve_key
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a
      ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
   WHERE i.indrelid = pg_catalog.to_regclass({_text(table.full)}) AND i.indisprimary;
  IF evolve_key IS NULL THEN
    RAISE EXCEPTION USING MESSAGE = {_text(f"table {table.plain} has no primary key: its values cannot be archived")},
      HINT = 'go on without --archive, or copy them by hand';
  END IF;
  {lines}
  EXECUTE {statement};
  PERFORM pg_catalog.set_config('row_security', evolve_row_security, true);
END
$evolve$"""


def _moved(part: Part, change: str, number: int) -> Part:
    """`part` with the table that it drops moved out of the way instead, where dropping it is all that it does."""
    tables = [table for table in _dropped(part) if table.name.startswith(QUARANTINE)]
    if len(tables) != 1 or len(part.statements) != 1:
        return part
    (table,) = tables
    archive = archive_name(change, number)
    lock = LockMode.ACCESS_EXCLUSIVE
    between = QualifiedName(table.name, "evolve")
    return replace(
        part,
        statements=(
            Statement("CREATE SCHEMA IF NOT EXISTS evolve", None, "an empty namespace"),
            Statement(
                f"ALTER TABLE {table} SET SCHEMA evolve",
                lock,
                "catalog only; nobody has missed it, and every row stays",
                allow=("rename-table", "move-table", "move-to-schema"),
            ),
            Statement(
                f"ALTER TABLE {between} RENAME TO {quote(archive.name)}",
                lock,
                "catalog only",
                allow=("rename-table",),
            ),
        ),
        undo=(
            Statement(f"ALTER TABLE {archive} RENAME TO {quote(table.name)}", lock, "catalog only"),
            Statement(f"ALTER TABLE {between} SET SCHEMA {quote(table.schema)}", lock, "catalog only"),
        ),
    )


def _dropped(part: Part) -> Iterator[QualifiedName]:
    for statement in part.statements:
        for operation in parse(statement.sql):
            if isinstance(operation, DropTable):
                yield operation.table


def _text(value: str) -> str:
    return literal(value).strip()
