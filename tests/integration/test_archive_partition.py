"""Rows that were archived come back as they were, or not at all; whatever does not match is refused."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.orders import execute as send
from support.orders import scalar

from evolve.app import archive_partition as use
from evolve.app.archive_partition import (
    AlreadyThere,
    ArchiveDiffers,
    ColumnsDiffer,
    Commands,
    Folder,
    NoArchive,
    NothingDetached,
    OtherTable,
    Place,
    Unreadable,
    archive,
    archived,
    restore,
)
from evolve.app.convert_table import Patience
from evolve.errors import EvolveError, Refused
from evolve.files import CannotWrite
from evolve.postgres.archiving import CannotArchive, CannotRestore, NotOurs
from evolve.postgres.connect import connect
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

EVENTS, FIRST = QualifiedName("events"), QualifiedName("events_1")

# Value after value of every kind that text, or Parquet, could lose something of.
VALUES = {
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "0"],
    "bigint": ["9223372036854775807", "-9223372036854775808"],
    "boolean": ["true", "false"],
    "real": ["1.1", "NaN", "-Infinity", "-0", "1e-45"],
    "double precision": ["0.1", "5e-324", "Infinity", "1.7976931348623157e308"],
    "numeric": ["NaN", "Infinity", "1.10", "1e100"],
    "numeric(12,2)": ["-1234567890.12", "0"],
    "numeric(38,10)": ["1234567890123456789012345678.0123456789", "NaN"],
    "date": ["2024-02-29", "0001-01-01", "9999-12-31"],
    "timestamp": ["2024-02-29 23:59:59.999999", "infinity", "0044-03-15 12:00 BC", "294276-12-31"],
    "timestamp(0)": ["1500-01-01", "2024-01-01 00:00:01"],
    "timestamptz": ["2024-03-31 01:59:59.123456+01", "0001-01-01 00:00+00"],
    "time": ["24:00:00", "00:00:00.000001"],
    "timetz": ["12:00:00+05:30"],
    "interval": ["1 year -2 months 3 days -04:05:06.7"],
    "text": ["", "\\N", "NULL", 'a "quoted", text', "two\r\nlines\n\\.\nand a dot", "\\.", " ", "grün 🐘"],
    "varchar(5)": ["", "ab"],
    "char(4)": ["ab"],
    '"char"': ["x"],
    "bytea": ["\\x00ff0a", ""],
    "uuid": ["f615c85c-6516-442e-9445-e8640fd2ad6d"],
    "json": ['{"b": 1,  "a": [null]}'],
    "jsonb": ['{"a": 1.10, "b": "\\u00e9"}'],
    "inet": ["::1/64"],
    "bit varying": ["10101"],
    "money": ["12.34"],
    "point": ["(0.1,1e300)"],
    "tsvector": ["'a':1 'b':2A"],
    "integer[]": ["{1,NULL,3}", "{}", "[0:1]={1,2}"],
    "text[]": ['{"",NULL,"a,b"}'],
    "int4range": ["[1,5)", "empty", "(,)"],
    "tstzmultirange": ["{[2024-01-01 00:00+00,2024-01-02 00:00+00)}"],
    "regclass": ["pg_class"],
    "mood": ["b c"],
    "positive": ["1.50"],
    "pair": ['(1,"a ""b""")', "(,)"],
}


def execute(url: str, *statements: str) -> None:
    for statement in statements:
        send(url, statement)


@pytest.fixture
def url(database_url: str) -> str:
    columns = ", ".join(f'"{kind.strip(chr(34))}" {kind}' for kind in VALUES)
    longest = max(map(len, VALUES.values()))
    rows = []
    for number in range(longest):
        values = [quoted(each[number]) if number < len(each) else "NULL" for each in VALUES.values()]
        rows.append(f"({number}, {', '.join(values)})")
    execute(
        database_url,
        "CREATE TYPE mood AS ENUM ('a', 'b c')",
        "CREATE DOMAIN positive AS numeric CHECK (VALUE > 0)",
        "CREATE TYPE pair AS (a integer, b text)",
        f"CREATE TABLE events (k integer NOT NULL, gone text, {columns}, "
        "double_k bigint GENERATED ALWAYS AS (k * 2) STORED) PARTITION BY RANGE (k)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100)",
        "ALTER TABLE events DROP COLUMN gone",
        f"INSERT INTO events VALUES {', '.join(rows)}",
        "CREATE INDEX ON events (k)",
        "CREATE SCHEMA attic",
    )
    return database_url


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def rows_of(url: str, table: str) -> object:
    return scalar(url, f"SELECT array_agg(t::text ORDER BY t::text) FROM {table} AS t")


def is_archived(url: str, partition: QualifiedName = FIRST) -> bool:
    with connect(url, autocommit=True) as connection:
        return archived(connection, partition)


def commands(folder: Path) -> Commands:
    into = f'"{folder}/{{name}}"'
    return Commands(f"sh -c 'mkdir -p \"$(dirname {into[1:-1]})\" && cat > {into}'", f"cat {folder}/{{name}}")


PLACES: dict[str, Callable[[Path], Place]] = {
    "parquet": lambda folder: Folder(folder / "attic"),
    "csv.gz": lambda folder: Folder(folder / "attic", "csv.gz"),
    "table": lambda _: OtherTable("attic"),
    "command": commands,
}


@pytest.mark.parametrize("attach", [False, True], ids=["alone", "attached"])
@pytest.mark.parametrize("place", PLACES)
def test_every_type_comes_back_equal(url: str, tmp_path: Path, place: str, attach: bool) -> None:
    before = rows_of(url, "events_1")
    where = PLACES[place](tmp_path)
    archive(url, EVENTS, [FIRST], where)
    assert is_archived(url)
    execute(url, "DROP TABLE events_1")
    read = where.read if isinstance(where, Commands) else None
    done = restore(url, EVENTS, FIRST, read=read, attach=attach)
    assert done.rows == max(map(len, VALUES.values()))
    assert rows_of(url, "events_1") == before
    assert rows_of(url, "events") == (before if attach else None)


def test_a_parquet_file_has_types_of_its_own_where_they_hold_every_value(url: str, tmp_path: Path) -> None:
    (kept,) = archive(url, EVENTS, [FIRST], Folder(tmp_path))
    types = {column.name: column.kept_as for column in kept.manifest.columns}
    assert (types["bigint"], types["numeric(12,2)"]) == ("int64", "decimal(12,2)")
    assert (types["timestamptz"], types["date"]) == ("timestamptz", "date32")
    assert (types["timestamp"], types["numeric(38,10)"], types["numeric"]) == ("text", "text", "text")


def test_an_archive_says_what_it_is_and_is_restored_without_the_ledger(url: str, tmp_path: Path) -> None:
    archive(url, EVENTS, [FIRST], Folder(tmp_path))
    (file,) = tmp_path.rglob("manifest.json")
    told = json.loads(file.read_text())
    assert (told["rows"], told["bound"]) == (8, "FOR VALUES FROM (0) TO (100)")
    execute(url, "DROP SCHEMA evolve CASCADE")
    restore(url, EVENTS, FIRST, source=tmp_path, name=QualifiedName("found again"))
    assert rows_of(url, '"found again"') == rows_of(url, "events_1")


def test_an_empty_partition_is_archived_too(url: str, tmp_path: Path) -> None:
    execute(url, "TRUNCATE events")
    for format_ in ("parquet", "csv.gz"):
        archive(url, EVENTS, [FIRST], Folder(tmp_path / format_, format_))  # type: ignore[arg-type]
        done = restore(url, EVENTS, FIRST, source=tmp_path / format_, name=QualifiedName(f"empty {format_}"))
        assert done.rows == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events_1 SET text = 'other' WHERE k = 0",
        "DELETE FROM events_1 WHERE k = 0",
        "INSERT INTO events (k) VALUES (9)",
        "ALTER TABLE events ADD COLUMN later text DEFAULT 'lost'",
        "DROP TABLE events_1; CREATE TABLE events_1 (LIKE events)",
    ],
)
def test_rows_of_later_are_not_archived(url: str, tmp_path: Path, change: str) -> None:
    archive(url, EVENTS, [FIRST], Folder(tmp_path))
    execute(url, change)
    assert not is_archived(url)


def test_what_nobody_archived_is_not(url: str) -> None:
    assert not is_archived(url)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [_cut, _spoil, Path.unlink])
@pytest.mark.parametrize("format_", ["parquet", "csv.gz"])
def test_a_damaged_file_is_no_archive(
    url: str, tmp_path: Path, format_: Any, harm: Callable[[Path], object]
) -> None:
    archive(url, EVENTS, [FIRST], Folder(tmp_path, format_))
    (file,) = tmp_path.rglob("rows.*")
    harm(file)
    assert not is_archived(url)
    with pytest.raises((ArchiveDiffers, Unreadable)):
        restore(url, EVENTS, FIRST, source=tmp_path, name=QualifiedName("again"))
    assert scalar(url, "SELECT to_regclass('again') IS NULL") is True


def test_a_manifest_of_other_rows_restores_nothing(url: str, tmp_path: Path) -> None:
    archive(url, EVENTS, [FIRST], Folder(tmp_path, "csv.gz"))
    (file,) = tmp_path.rglob("manifest.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "checksum": "1"}))
    assert not is_archived(url)
    with pytest.raises(ArchiveDiffers, match="not the same"):
        restore(url, EVENTS, FIRST, source=tmp_path, name=QualifiedName("again"))
    assert scalar(url, "SELECT to_regclass('again') IS NULL") is True


def test_an_archive_is_never_written_over(url: str, tmp_path: Path) -> None:
    place = Folder(tmp_path)
    archive(url, EVENTS, [FIRST], place)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    (again,) = archive(url, EVENTS, [FIRST], place)
    assert again.before
    execute(url, "DELETE FROM events_1 WHERE k = 1")
    with pytest.raises(ArchiveDiffers):
        archive(url, EVENTS, [FIRST], place)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


@pytest.mark.parametrize("format_", ["parquet", "csv.gz"])
def test_a_full_disk_leaves_no_archive_and_nothing_lost(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: Any
) -> None:
    class Full(use.Hashing):
        def write(self, data: Any) -> int:
            if self.size + len(data) > 100:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    before = rows_of(url, "events_1")
    with monkeypatch.context() as patch:
        patch.setattr(use, "Hashing", Full)
        with pytest.raises(CannotWrite, match="No space left"):
            archive(url, EVENTS, [FIRST], Folder(tmp_path, format_))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert rows_of(url, "events_1") == before
    assert not is_archived(url)


def test_a_place_that_cannot_be_written_to_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite):
        archive(url, EVENTS, [FIRST], Folder(tmp_path / "file" / "attic"))
    with pytest.raises(CannotArchive, match="nowhere"):
        archive(url, EVENTS, [FIRST], OtherTable("nowhere"))
    with pytest.raises(Refused, match="exit status 3"):
        archive(url, EVENTS, [FIRST], Commands("sh -c 'cat >/dev/null; exit 3'", "true"))
    with pytest.raises(Refused, match=r"not what was written|cannot be read"):
        archive(url, EVENTS, [FIRST], Commands("sh -c 'cat >/dev/null'", "true"))
    assert not is_archived(url)


def test_a_partition_is_no_archive_of_itself(url: str) -> None:
    with pytest.raises(ArchiveDiffers, match="no archive of events_1"):
        archive(url, EVENTS, [FIRST], OtherTable("public"))
    assert not is_archived(url)


def test_tables_of_others_are_left_alone(url: str, tmp_path: Path) -> None:
    execute(url, "CREATE TABLE strange (k integer)")
    with pytest.raises(NotOurs):
        archive(url, EVENTS, [QualifiedName("strange")], Folder(tmp_path / "attic"))
    with pytest.raises(NothingDetached):
        archive(url, EVENTS, [], Folder(tmp_path / "attic"))
    assert list(tmp_path.iterdir()) == []


def test_what_evolve_detached_is_archived_unasked_with_the_bound_it_had(url: str, tmp_path: Path) -> None:
    execute(
        url,
        "ALTER TABLE events DETACH PARTITION events_1",
        "COMMENT ON TABLE events_1 IS 'made by evolve: detached from events at 2026-01-01T00:00:00+00:00 "
        "FOR VALUES FROM (0) TO (100)'",
    )
    (kept,) = archive(url, EVENTS, [], Folder(tmp_path))
    assert kept.manifest.bound == "FOR VALUES FROM (0) TO (100)"
    execute(url, "DROP TABLE events_1")
    restore(url, EVENTS, FIRST, attach=True)
    assert scalar(url, "SELECT count(*) FROM events") == kept.manifest.rows
    comment = scalar(url, "SELECT obj_description('events_1'::regclass)")
    assert not str(comment).startswith("made by evolve")


def test_rows_that_a_policy_hides_are_not_left_out(url: str, tmp_path: Path) -> None:
    execute(
        url,
        "DO $$ BEGIN CREATE ROLE archivist LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT SELECT ON events_1 TO archivist",
        "GRANT CREATE ON DATABASE "
        + str(scalar(url, "SELECT quote_ident(current_database())"))
        + " TO archivist",
        "ALTER TABLE events_1 ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY later_ones ON events_1 USING (k > 3)",
    )
    role = f"{url}{'&' if '?' in url else '?'}options=-crole%3Darchivist"
    with pytest.raises(CannotArchive, match="row-level security"):
        archive(role, EVENTS, [FIRST], Folder(tmp_path))
    execute(url, "DROP OWNED BY archivist CASCADE")


def test_what_is_there_is_not_restored_over(url: str, tmp_path: Path) -> None:
    archive(url, EVENTS, [FIRST], Folder(tmp_path))
    with pytest.raises(AlreadyThere):
        restore(url, EVENTS, FIRST)
    with pytest.raises(NoArchive):
        restore(url, EVENTS, QualifiedName("events_2"))


def test_a_table_that_changed_since_is_not_attached_to(url: str, tmp_path: Path) -> None:
    archive(url, EVENTS, [FIRST], Folder(tmp_path))
    execute(
        url,
        "DROP TABLE events_1",
        "ALTER TABLE events ALTER COLUMN smallint TYPE integer, DROP COLUMN uuid, ADD COLUMN new text DEFAULT 'x'",
    )
    with pytest.raises(ColumnsDiffer, match=r"smallint is integer, and was smallint; uuid is gone"):
        restore(url, EVENTS, FIRST, attach=True)
    assert scalar(url, "SELECT to_regclass('events_1') IS NULL") is True


def test_a_lock_that_is_held_all_the_time_leaves_nothing_restored(url: str, tmp_path: Path) -> None:
    archive(url, EVENTS, [FIRST], Folder(tmp_path))
    execute(url, "DROP TABLE events_1")
    with connect(url) as other:
        other.execute("LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(CannotRestore, match="the lock to attach it"):
            restore(url, EVENTS, FIRST, attach=True, patience=Patience(budget=0.2))
        other.rollback()
    assert scalar(url, "SELECT to_regclass('events_1') IS NULL") is True
    restore(url, EVENTS, FIRST, attach=True)


def test_names_lead_nowhere_else(url: str, tmp_path: Path) -> None:
    name = QualifiedName("../../a b")
    execute(url, f"CREATE TABLE {name.full} PARTITION OF events FOR VALUES FROM (100) TO (200)")
    archive(url, EVENTS, [name], Folder(tmp_path / "attic"))
    assert [path.name for path in tmp_path.iterdir()] == ["attic"]
    assert is_archived(url, name)


def test_errors_are_ones_a_person_can_act_on(url: str, tmp_path: Path) -> None:
    with pytest.raises(EvolveError) as caught:
        restore(url, EVENTS, FIRST, source=tmp_path)
    assert caught.value.fix
