"""Keep the rows of partitions before they are dropped, say whether they are kept, and bring them back."""

from __future__ import annotations

import fcntl
import os
import random
import shlex
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

import evolve
from evolve.app.archive_file import (
    CHUNK,
    Hashing,
    Unreadable,
    content_of,
    file_name,
    has_header,
    read_rows,
    refuse_without_pyarrow,
    write_rows,
)
from evolve.app.convert_table import Patience
from evolve.errors import EvolveError, Misuse, Refused
from evolve.files import CannotWrite, refuse_unwritable
from evolve.partition.archive import (
    MANIFEST,
    FileFormat,
    Manifest,
    decode,
    encode,
    from_text,
    to_text,
)
from evolve.partition.maintain import create
from evolve.partition.values import read_bound
from evolve.postgres import archiving as server
from evolve.postgres.archiving import CannotArchive, CannotRestore
from evolve.postgres.connect import Connection, connect
from evolve.postgres.partitions import read_partitioned, read_template
from evolve.postgres.retiring import read_all_detached
from evolve.postgres.writable import refuse_read_only
from evolve.sql.bounds import Partition
from evolve.sql.names import QualifiedName, literal

LOCK_TIMEOUT = 500  # milliseconds, of each attempt to attach
_BEGUN, _UNFINISHED = ".evolve-", ".part"


class NothingDetached(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'no partition has been detached from "{table.plain}" by evolve',
            fix=f"name the one to archive: evolve partition archive {table.shell} PARTITION …",
        )


class ArchiveDiffers(Refused):
    def __init__(self, place: str, difference: str) -> None:
        super().__init__(
            f"the archive {place} does not match: {difference}",
            why="what does not match may not be all, so nothing is dropped for it and nothing restored from it",
            fix="archive into another place, or take the archive from a copy of it",
        )


class NoArchive(Misuse):
    def __init__(self, partition: QualifiedName, place: str | None = None) -> None:
        super().__init__(
            f'there is no archive of "{partition.plain}"' + (f" in {place}" if place else " on record"),
            fix="say where it is: --from FOLDER" if place is None else "look for it in another place",
        )


class AlreadyThere(Refused):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'there is a table "{table.plain}" already',
            why="what is there is never written over",
            fix="choose another name: --as NAME",
        )


class NoBound(Refused):
    def __init__(self, partition: QualifiedName) -> None:
        super().__init__(
            f'the archive of "{partition.plain}" does not say which rows its table took there',
            why="it was archived when it had been detached, and nothing told its bound any more",
            fix="restore it without --attach, then ALTER TABLE … ATTACH PARTITION … FOR VALUES …",
        )


class ColumnsDiffer(Refused):
    def __init__(self, table: QualifiedName, differences: Sequence[str]) -> None:
        super().__init__(
            f'the archive does not fit "{table.plain}" any more: {"; ".join(differences)}',
            why="the columns of the table were changed after it was archived",
            fix="restore it as a table of its own, without --attach, and change that one likewise",
        )


class CommandFailed(Refused):
    def __init__(self, command: str, reason: str) -> None:
        super().__init__(
            f"the command of the archive failed: {command}: {reason}",
            why="nothing counts as archived until what it took can be read back",
            fix="run it by hand, and mend the cause",
        )


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder for each archive, with the rows and the manifest."""

    path: Path
    format: FileFormat = "parquet"


@dataclass(frozen=True, slots=True)
class OtherTable:
    """A copy in another schema, in a tablespace if need be."""

    schema: str
    tablespace: str | None = None


@dataclass(frozen=True, slots=True)
class Commands:
    """Two commands, started without a shell; `{name}` in them becomes the file's name, with folders.

    Args:
        write: reads the file from stdin.
        read: writes it to stdout.
    """

    write: str
    read: str


Place = Folder | OtherTable | Commands


@dataclass(frozen=True, slots=True)
class Kept:
    """
    Args:
        before: an archive of these very rows was there already.
    """

    manifest: Manifest
    place: str
    before: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    table: QualifiedName
    rows: int
    attached: bool


def archive(
    url: str,
    table: QualifiedName,
    partitions: Sequence[QualifiedName],
    place: Place,
    *,
    now: datetime | None = None,
    observe: Callable[[Kept], None] = lambda _: None,
) -> tuple[Kept, ...]:
    """Keep the rows of `partitions`, of all that evolve detached from `table` where none is named. Drops nothing.

    Each is read in one snapshot, written under another name, read back and compared, and only then put into its place
    and noted: a run that is killed leaves a whole archive or none.

    Raises:
        NothingDetached, NotOurs, NoPyarrow, JournalDenied.
        CannotArchive, CannotWrite, ArchiveDiffers, CommandFailed: this one was not archived; those before it were.
    """
    if isinstance(place, Folder) and place.format == "parquet":
        refuse_without_pyarrow()
    with connect(url, application_name="evolve partition archive", autocommit=True) as connection:
        refuse_read_only(connection)
        wanted = list(partitions) or [
            QualifiedName(each.name, table.schema) for each in read_all_detached(connection, table)
        ]
        if not wanted:
            raise NothingDetached(table)
        with server.one_snapshot(connection):
            for partition in wanted:
                server.read_source(connection, table, partition)
        if isinstance(place, Folder):
            refuse_unwritable(place.path)
        server.ensure_ledger(connection)
        done = []
        for partition in wanted:
            with server.translated(CannotArchive, partition):
                kept = _archive(connection, table, partition, place, now or datetime.now(UTC))
            observe(kept)
            done.append(kept)
        return tuple(done)


def archived(connection: Connection, partition: QualifiedName) -> bool:
    """Whether every row that `partition` holds now is in an archive that is still whole.

    Reads the partition and the archive, in one short transaction of its own. False where the archive cannot be seen
    from here. What went through a command was read back when it was made, and is believed since.

    Raises:
        CannotArchive: the server refuses to read the partition, its archive or the ledger.
    """
    with server.translated(CannotArchive, partition), server.one_snapshot(connection):
        oid = server.oid_of(connection, partition)
        records = () if oid is None else server.noted(connection, partition, oid)
        return any(_whole(connection, partition, record) for record in records)


def _whole(connection: Connection, partition: QualifiedName, record: server.Record) -> bool:
    try:
        manifest = decode(record.manifest, partition.plain)
        kept = {column.name for column in server.read_columns(connection, partition) if not column.generated}
        if kept != {column.name for column in manifest.stored}:
            return False
        _refuse_changed(connection, partition, manifest)
        _refuse_broken(connection, record.place, manifest)
    except (EvolveError, OSError):
        return False
    return True


def restore(
    url: str,
    table: QualifiedName,
    partition: QualifiedName,
    *,
    source: Path | None = None,
    read: str | None = None,
    name: QualifiedName | None = None,
    attach: bool = False,
    patience: Patience | None = None,
) -> Restored:
    """Bring `partition` back from its archive, in one transaction: all of its rows, or nothing.

    Args:
        source: the folder that archives were written to; None takes the newest on record.
        read: the command that writes the file `{name}` to stdout.
        name: what it is called here; the name that it had, if None.
        attach: make it a partition of `table` again.
        patience: with the lock on the table that attaching takes; half a second at a time.

    Raises:
        NoArchive, BadManifest, ArchiveDiffers, Unreadable, AlreadyThere, NoBound, ColumnsDiffer, CannotRestore,
        CommandFailed.
    """
    with connect(url, application_name="evolve partition restore", autocommit=True) as connection:
        refuse_read_only(connection)
        place, manifest = _found(connection, table, partition, source, read)
        target = name or partition
        if server.oid_of(connection, target) is not None:
            raise AlreadyThere(target)
        with server.translated(CannotRestore, target), connection.transaction():
            server.exact_text(connection)
            attaching = _make(connection, table, target, manifest, attach=attach)
            _fill(connection, target, place, manifest, read)
            _refuse_changed(connection, target, manifest)
            _attach(connection, target, attaching, patience or Patience(budget=120.0))
        return Restored(target, manifest.rows, attach)


def _archive(
    connection: Connection, table: QualifiedName, partition: QualifiedName, place: Place, now: datetime
) -> Kept:
    with server.one_snapshot(connection):
        source = server.read_source(connection, table, partition)
        stored = [column for column in source.columns if column.generated is None]
        found = server.content_of(connection, partition, stored)
        columns = tuple(
            replace(column, kept_as="text") if column.name in found.text else column
            for column in source.columns
        )
        manifest = Manifest(
            table=table,
            partition=partition,
            bound=source.bound,
            columns=columns,
            rows=found.rows,
            checksum=found.checksum,
            format="csv.gz" if isinstance(place, Commands) else "table",
            file="",
            bytes=0,
            sha256="",
            content="",
            server_version=server.server_version(connection),
            evolve_version=evolve.__version__,
            made_at=now.astimezone(UTC).isoformat(),
        )
        match place:
            case Folder(path, format_):
                manifest = replace(manifest, format=format_, file=file_name(format_))
                kept, noted = _into_folder(connection, manifest, path)
            case OtherTable():
                kept, noted = _into_table(connection, manifest, place)
            case Commands():
                manifest = replace(manifest, file=file_name("csv.gz"))
                kept, noted = _into_command(connection, manifest, place)
        if not (kept.before and _known(connection, partition, source.oid, noted)):
            server.note(connection, source.oid, partition, noted, encode(kept.manifest))
        return kept


def _known(connection: Connection, partition: QualifiedName, oid: int, place: dict[str, object]) -> bool:
    return any(record.place == place for record in server.noted(connection, partition, oid))


def _into_folder(connection: Connection, manifest: Manifest, root: Path) -> tuple[Kept, dict[str, object]]:
    """The folder of the archive appears under its name when all is in it, and on the disk."""
    final = _folder_of(root.resolve(), manifest.table, manifest.partition)
    noted: dict[str, object] = {"kind": "folder", "path": str(final)}
    if (final / MANIFEST).exists():
        before = from_text((final / MANIFEST).read_bytes(), str(final))
        if _identity(before) != _identity(manifest):
            raise ArchiveDiffers(str(final), f"it holds {before.rows} rows that are not those of now")
        _refuse_broken(connection, noted, before)
        return Kept(before, str(final), before=True), noted
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(final.parent) as folder:
            whole = _write(connection, manifest, folder / manifest.file)
            _put(folder / MANIFEST, to_text(whole).encode())
            _sync(folder)
            folder.replace(final)
        _sync(final.parent)
        _sync(root)
    except OSError as error:
        raise CannotWrite(final, error.strerror or str(error)) from error
    return Kept(whole, str(final)), noted


def _identity(manifest: Manifest) -> tuple[object, ...]:
    """What is the same in every archive of the same rows of the same partition."""
    return manifest.partition, manifest.kinds, manifest.rows, manifest.checksum


def _write(connection: Connection, manifest: Manifest, path: Path) -> Manifest:
    """Write the rows to `path`, read them back, and return the manifest with what the file is."""
    with path.open("wb") as stream:
        whole = _stream(connection, manifest, stream)
        stream.flush()
        os.fsync(stream.fileno())
    with path.open("rb") as stream:
        _compare(stream, whole, str(path))
    return whole


def _stream(connection: Connection, manifest: Manifest, stream: IO[bytes]) -> Manifest:
    counted = 0

    def rows() -> Generator[bytes, None, None]:
        nonlocal counted
        header = has_header(manifest.file_format)
        with closing(
            server.copy_out(connection, manifest.partition, manifest.stored, header=header, size=CHUNK)
        ) as sent:
            for count, chunk in sent:
                counted += count
                yield chunk

    target = Hashing(stream)
    try:
        # Closed at once where writing fails: nothing else can be asked of the server until the COPY has ended.
        with closing(rows()) as taken:
            content = write_rows(taken, manifest.stored, manifest.file_format, target)
    except ValueError as error:  # pyarrow's own begin with it
        raise CannotArchive(
            manifest.partition, f"{error}; --format csv.gz keeps whatever the server writes"
        ) from error
    counted -= has_header(manifest.file_format)
    if counted != manifest.rows:
        raise ArchiveDiffers(manifest.file, f"{counted} rows came, {manifest.rows} were counted")
    return replace(manifest, bytes=target.size, sha256=target.sha256, content=content)


def _compare(stream: IO[bytes], manifest: Manifest, place: str) -> None:
    """
    Raises:
        ArchiveDiffers, Unreadable: the file is not what was written.
    """
    try:
        rows, content = content_of(stream, manifest.file_format)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Unreadable(place, str(error)) from error
    if content != manifest.content or rows not in (None, manifest.rows):
        raise ArchiveDiffers(place, "what is read from it is not what was written")


def _into_table(
    connection: Connection, manifest: Manifest, place: OtherTable
) -> tuple[Kept, dict[str, object]]:
    target = QualifiedName(manifest.partition.name, place.schema)
    noted: dict[str, object] = {"kind": "table", "schema": place.schema, "name": target.name}
    if server.oid_of(connection, target) is not None:
        _refuse_strange(connection, target, manifest)
        _refuse_changed(connection, target, manifest)
        return Kept(manifest, target.plain, before=True), noted
    comment = _comment_of(manifest.partition)
    server.create_alone(connection, target, manifest.columns, comment, place.tablespace)
    server.copy_across(connection, manifest.partition, target, manifest.stored)
    _refuse_changed(connection, target, manifest)
    return Kept(manifest, target.plain), noted


def _into_command(
    connection: Connection, manifest: Manifest, place: Commands
) -> tuple[Kept, dict[str, object]]:
    name = _name_of(manifest.table, manifest.partition)
    with _piped(place.write, f"{name}/{manifest.file}", reading=False) as stream:
        whole = _stream(connection, manifest, stream)
    with _piped(place.read, f"{name}/{manifest.file}", reading=True) as stream:
        _compare(stream, whole, name)
    with _piped(place.write, f"{name}/{MANIFEST}", reading=False) as stream:
        stream.write(to_text(whole).encode())
    return Kept(whole, name), {"kind": "command", "name": name}


def _comment_of(partition: QualifiedName) -> str:
    return f"archived by evolve from {partition.plain}"


def _refuse_strange(connection: Connection, target: QualifiedName, manifest: Manifest) -> None:
    """
    Raises:
        ArchiveDiffers: a table that is no archive, the partition itself above all.
    """
    if server.comment_of(connection, target) != _comment_of(manifest.partition):
        raise ArchiveDiffers(target.plain, f"that table is no archive of {manifest.partition.plain}")


def _refuse_changed(connection: Connection, table: QualifiedName, manifest: Manifest) -> None:
    """
    Raises:
        ArchiveDiffers: `table` holds other rows, or other columns, than were archived.
    """
    there = {column.name: column.type for column in server.read_columns(connection, table)}
    missing = [name for name, kind in manifest.kinds if there.get(name) != kind]
    if missing:
        raise ArchiveDiffers(table.plain, f"no such column: {', '.join(missing)}")
    now = server.content_of(connection, table, manifest.stored)
    if now.rows != manifest.rows:
        raise ArchiveDiffers(table.plain, f"{now.rows} rows instead of {manifest.rows}")
    if now.checksum != manifest.checksum:
        raise ArchiveDiffers(table.plain, "as many rows, but not the same")


def _refuse_broken(connection: Connection, place: dict[str, object], manifest: Manifest) -> None:
    """
    Raises:
        ArchiveDiffers, Unreadable, OSError: the archive is not what it was.
    """
    match place:
        case {"kind": "folder", "path": str(path)}:
            folder = Path(path)
            if from_text((folder / MANIFEST).read_bytes(), path) != manifest:
                raise ArchiveDiffers(path, "its manifest is another")
            file = folder / manifest.file
            if file.stat().st_size != manifest.bytes:
                raise ArchiveDiffers(path, f"{file.stat().st_size} bytes instead of {manifest.bytes}")
            with file.open("rb") as stream:
                _compare(stream, manifest, path)
        case {"kind": "table", "schema": str(schema), "name": str(name)}:
            target = QualifiedName(name, schema)
            if server.oid_of(connection, target) is None:
                raise NoArchive(manifest.partition, target.plain)
            _refuse_strange(connection, target, manifest)
            _refuse_changed(connection, target, manifest)
        case {"kind": "command"}:
            return
        case _:
            raise ArchiveDiffers(str(place), "the place is not known to this version")


def _found(
    connection: Connection,
    table: QualifiedName,
    partition: QualifiedName,
    source: Path | None,
    read: str | None,
) -> tuple[dict[str, object], Manifest]:
    """Where the archive is, and its manifest; it is whole, as far as can be told before its rows are read."""
    place: dict[str, object]
    if read is not None:
        name = _name_of(table, partition)
        with _piped(read, f"{name}/{MANIFEST}", reading=True) as stream:
            manifest = from_text(stream.read(), name)
        place = {"kind": "command", "name": name}
    elif source is not None:
        folder = _folder_of(source.resolve(), table, partition)
        if not (folder / MANIFEST).exists():
            raise NoArchive(partition, str(source))
        manifest = from_text((folder / MANIFEST).read_bytes(), str(folder))
        place = {"kind": "folder", "path": str(folder)}
    else:
        records = server.noted(connection, partition)
        if not records:
            raise NoArchive(partition)
        place, manifest = records[0].place, decode(records[0].manifest, partition.plain)
        if place.get("kind") == "command":
            raise NoArchive(partition, "a place that can be read from here; name its command: --read-back")
    if (manifest.table, manifest.partition) != (table, partition):
        raise ArchiveDiffers(str(place), f"it is of {manifest.partition.plain}, of {manifest.table.plain}")
    if manifest.format == "parquet":
        refuse_without_pyarrow()
    if place["kind"] == "folder":
        try:
            _refuse_broken(connection, place, manifest)
        except OSError as error:
            raise Unreadable(str(place["path"]), error.strerror or str(error)) from error
    return place, manifest


def _make(
    connection: Connection, table: QualifiedName, target: QualifiedName, manifest: Manifest, *, attach: bool
) -> tuple[str, ...]:
    """Make the table that takes the rows; returns what attaches it afterwards."""
    comment = f"restored by evolve from the archive of {manifest.partition.plain}"
    if not attach:
        server.create_alone(connection, target, manifest.columns, comment)
        return ()
    if manifest.bound is None:
        raise NoBound(manifest.partition)
    if target.schema != table.schema:
        raise CannotRestore(target, f"a partition stays in the schema of its table, {table.schema}")
    partitioned = read_partitioned(connection, table)
    _refuse_other_columns(connection, table, manifest)
    partition = Partition(target.name, read_bound(manifest.bound, partitioned.key_type))
    template = read_template(connection, table)
    make, attaching = create(table, partitioned, partition, template)
    for statement in make:
        # No lock: nobody knows this table yet.
        connection.execute(statement.sql.encode())
    # Without the mark of evolve: retain would let it go again at once.
    marked = f"COMMENT ON TABLE {target.full} IS {literal(comment)}"
    return (*(statement.sql for statement in attaching), marked)


def _attach(
    connection: Connection, target: QualifiedName, statements: Sequence[str], patience: Patience
) -> None:
    tries, waited = 0, 0.0
    while not server.attached_in_time(connection, statements, LOCK_TIMEOUT):
        tries += 1
        delay = patience.delay(tries, random.random())  # noqa: S311 - only so that two do not meet again
        if waited + delay > patience.budget:
            raise CannotRestore(target, f"the lock to attach it was not to be had within {waited:.0f} s")
        time.sleep(delay)
        waited += delay


def _refuse_other_columns(connection: Connection, table: QualifiedName, manifest: Manifest) -> None:
    there = {column.name: column for column in server.read_columns(connection, table)}
    said = []
    for column in manifest.stored:
        now = there.get(column.name)
        if now is None:
            said.append(f"{column.name} is gone")
        elif now.generated is not None:
            said.append(f"{column.name} is generated now")
        elif now.type != column.type:
            said.append(f"{column.name} is {now.type}, and was {column.type}")
    if said:
        raise ColumnsDiffer(table, said)


def _fill(
    connection: Connection,
    target: QualifiedName,
    place: dict[str, object],
    manifest: Manifest,
    read: str | None,
) -> None:
    match place:
        case {"kind": "table", "schema": str(schema), "name": str(name)}:
            source = QualifiedName(name, schema)
            if server.oid_of(connection, source) is None:
                raise NoArchive(manifest.partition, source.plain)
            server.copy_across(connection, source, target, manifest.stored)
        case {"kind": "folder", "path": str(path)}:
            with (Path(path) / manifest.file).open("rb") as stream:
                _load(connection, target, stream, manifest, path)
        case {"kind": "command", "name": str(name)} if read is not None:
            with _piped(read, f"{name}/{manifest.file}", reading=True) as stream:
                _load(connection, target, stream, manifest, name)
        case _:
            raise ArchiveDiffers(str(place), "the place is not known to this version")


def _load(
    connection: Connection, target: QualifiedName, stream: IO[bytes], manifest: Manifest, place: str
) -> None:
    def pieces() -> Iterator[bytes]:
        try:
            yield from read_rows(stream, manifest.stored, manifest.file_format)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise Unreadable(place, str(error)) from error

    server.copy_in(connection, target, manifest.stored, pieces(), header=has_header(manifest.file_format))


def _name_of(table: QualifiedName, partition: QualifiedName) -> str:
    """A path of two parts; whatever is no plain letter in a name is written as its number, so that none can lead out
    of the folder, and no two are the same.
    """
    return f"{_plain(table.schema)}.{_plain(table.name)}/{_plain(partition.schema)}.{_plain(partition.name)}"


def _plain(name: str) -> str:
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_-") else f"%{ord(letter):x}%"
        for letter in name
    )


def _folder_of(root: Path, table: QualifiedName, partition: QualifiedName) -> Path:
    return root / _name_of(table, partition)


@contextmanager
def _unfinished(parent: Path) -> Iterator[Path]:
    """A folder to work in; it is gone afterwards unless it was renamed, and those of killed runs are gone before."""
    for leftover in parent.glob(f"{_BEGUN}*{_UNFINISHED}"):
        with suppress(OSError), _locked(leftover):
            shutil.rmtree(leftover)
    folder = Path(tempfile.mkdtemp(prefix=_BEGUN, suffix=_UNFINISHED, dir=parent))
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _put(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _piped(command: str, name: str, *, reading: bool) -> Iterator[IO[bytes]]:
    """
    Raises:
        CommandFailed: it cannot be started, or ends with another status than 0.
    """
    try:
        arguments = [part.replace("{name}", name) for part in shlex.split(command)]
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL if reading else subprocess.PIPE,
            stdout=subprocess.PIPE if reading else subprocess.DEVNULL,
        )
    except (OSError, ValueError, IndexError) as error:
        raise CommandFailed(command, str(error)) from error
    with process:
        stream = cast("IO[bytes]", process.stdout if reading else process.stdin)
        try:
            yield stream
            if reading:
                while stream.read(CHUNK):  # what follows is waited for, or the command would die of it
                    pass
            stream.close()
        except BrokenPipeError as error:
            with suppress(BrokenPipeError):
                stream.close()
            raise CommandFailed(command, f"it did not take all; exit status {process.wait()}") from error
        except BaseException:
            process.kill()
            with suppress(BrokenPipeError):
                stream.close()
            raise
        if status := process.wait():
            raise CommandFailed(command, f"exit status {status}")
