"""`evolve partition archive` and `restore`: keep rows of partitions before they are dropped, and bring them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_running import exclude
from evolve.errors import Misuse

if TYPE_CHECKING:
    from evolve.app.archive_partition import Kept, Place
    from evolve.sql.names import QualifiedName

SCHEMA = 1


class NoPlace(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "where to archive is not said",
            fix="say one of --to FOLDER, --schema NAME, --command COMMAND with --read-back COMMAND",
        )


class NotWithout(Misuse):
    def __init__(self, option: str, other: str) -> None:
        super().__init__(f"{option} does not work without {other}", fix=f"say {other} as well")


@click.command()
@click.argument("table")
@click.argument("partitions", nargs=-1, metavar="[PARTITION]...")
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), help="Folder that the files are put into."
)
@click.option(
    "--file",
    "file_format",
    type=click.Choice(["parquet", "csv.gz"]),
    help="Kind of file; parquet needs pyarrow.  [default: parquet]",
)
@click.option("--schema", help="Schema that a copy of the table is put into instead.")
@click.option("--tablespace", help="Tablespace of that copy.")
@click.option(
    "--command", help="Program that takes each file from stdin instead; {name} in it becomes the file's name."
)
@click.option("--read-back", help="Program that writes file {name} to stdout, to compare it.")
@format_option("text", "json")
@database_url_option
@project_options
def archive(
    location: Location,
    /,
    table: str,
    partitions: tuple[str, ...],
    to: Path | None,
    file_format: str | None,
    schema: str | None,
    tablespace: str | None,
    command: str | None,
    read_back: str | None,
    report_format: str,
    database_url: str | None,
) -> int:
    """Keep the rows of partitions of TABLE: of those named, or of all that were detached.

    \b
    evolve partition archive orders --to /var/archive
    evolve partition archive orders orders_2024_01 --schema attic --tablespace slow
    evolve partition archive orders --command "ssh attic put {name}" --read-back "ssh attic get {name}"

    Each is read in one snapshot, written, read back and compared by count and checksum, and only then put in its place:
    an archive is there whole, or not at all. Nothing is dropped; evolve partition retain does that, and asks before
    whether the archive still holds every row.
    """
    from evolve.app.archive_partition import archive as use
    from evolve.sql.names import parse_name

    place = _place(to, file_format, schema, tablespace, command, read_back)
    name = parse_name(table)
    done = use(
        resolved_url(location, database_url),
        name,
        [_beside(each, name) for each in partitions],
        place,
        observe=lambda kept: None if report_format == "json" else click.echo(_line(kept)),
    )
    if report_format == "json":
        click.echo(
            json.dumps({"schema": SCHEMA, "archived": [_data(kept) for kept in done]}, ensure_ascii=False)
        )
    return 0


@click.command()
@click.argument("table")
@click.argument("partition")
@click.option(
    "--from",
    "source",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that was archived into.  [default: the last archive on record in this database]",
)
@click.option("--read-back", help="Program that writes file {name} to stdout.")
@click.option("--as", "name", help="Name of the restored table.  [default: the one it had]")
@click.option("--attach", is_flag=True, help="Make it a partition of TABLE again.")
@format_option("text", "json")
@database_url_option
@project_options
def restore(
    location: Location,
    /,
    table: str,
    partition: str,
    source: Path | None,
    read_back: str | None,
    name: str | None,
    attach: bool,
    report_format: str,
    database_url: str | None,
) -> int:
    """Bring PARTITION of TABLE back from its archive.

    \b
    evolve partition restore orders orders_2024_01 --as january
    evolve partition restore orders orders_2024_01 --from /var/archive --attach

    As a table of its own it has the columns it had. With --attach it gets what partitions of TABLE have today, and
    takes its place among them; evolve does not detach it again, as it does not carry its mark. All rows are compared
    with the archive's checksum before anybody sees one.
    """
    from evolve.app.archive_partition import restore as use
    from evolve.sql.names import parse_name

    exclude({"--from": source is not None, "--read-back": read_back is not None})
    parent = parse_name(table)
    done = use(
        resolved_url(location, database_url),
        parent,
        _beside(partition, parent),
        source=source,
        read=read_back,
        name=None if name is None else _beside(name, parent),
        attach=attach,
    )
    if report_format == "json":
        data = {"schema": SCHEMA, "table": done.table.plain, "rows": done.rows, "attached": done.attached}
        click.echo(json.dumps(data, ensure_ascii=False))
    else:
        where = f", attached to {parent.plain}" if attach else ""
        click.echo(f"{done.table.plain}: {done.rows:,} rows restored{where}")
    return 0


def _place(
    to: Path | None,
    file_format: str | None,
    schema: str | None,
    tablespace: str | None,
    command: str | None,
    read_back: str | None,
) -> Place:
    from evolve.app.archive_partition import Commands, Folder, OtherTable

    exclude({"--to": to is not None, "--schema": schema is not None, "--command": command is not None})
    for option, given, other, needed in (
        ("--file", file_format, "--to", to),
        ("--tablespace", tablespace, "--schema", schema),
        ("--read-back", read_back, "--command", command),
        ("--command", command, "--read-back", read_back),
    ):
        if given is not None and needed is None:
            raise NotWithout(option, other)
    if to is not None:
        return Folder(to, "csv.gz" if file_format == "csv.gz" else "parquet")
    if schema is not None:
        return OtherTable(schema, tablespace)
    if command is not None and read_back is not None:
        return Commands(command, read_back)
    raise NoPlace


def _beside(text: str, table: QualifiedName) -> QualifiedName:
    """A name without a schema is in that of `table`."""
    from evolve.sql.names import BadName, parse_name, quote

    try:
        return parse_name(f"{quote(table.schema)}.{text}")
    except BadName:
        return parse_name(text)


def _line(kept: Kept) -> str:
    size = f", {kept.manifest.bytes:,} bytes" if kept.manifest.bytes else ""
    word = "is archived already" if kept.before else "archived"
    return f"{kept.manifest.partition.plain}: {kept.manifest.rows:,} rows{size} {word} in {kept.place}"


def _data(kept: Kept) -> dict[str, object]:
    return {
        "partition": kept.manifest.partition.plain,
        "place": kept.place,
        "rows": kept.manifest.rows,
        "bytes": kept.manifest.bytes,
        "format": kept.manifest.format,
        "before": kept.before,
    }
