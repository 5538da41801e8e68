"""`evolve facts …`: what a live database tells the linter, in a file that needs no connection afterwards."""

from __future__ import annotations

from pathlib import Path

import click

from evolve.cli.options import Location, database_url_option, project_options
from evolve.errors import Misuse


class CannotWrite(Misuse):
    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(
            f'the facts cannot be written to "{file}": {reason}', fix="name another file with -o"
        )


@click.group("facts")
def command() -> None:
    """Sizes, write rates and index use of a live database, for the linter to judge by."""


@command.command("export")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write to FILE; without it, or with -, to standard output.",
)
@click.option("--schema", "schemas", metavar="NAME", multiple=True, help="Only this schema; may be repeated.")
@click.option(
    "--workload",
    is_flag=True,
    help="Statistics of columns and the texts of counted statements as well, for evolve partition advise.",
)
@database_url_option
@project_options
def export(
    location: Location,
    output: Path | None,
    schemas: tuple[str, ...],
    workload: bool,
    database_url: str | None,
) -> None:
    """Write the database's facts as JSON, for evolve lint --facts FILE.

    Per table: rows as the planner estimates them, bytes of heap, indexes and TOAST, writes and scans since the
    statistics began, the last vacuum and analyze, partitions, the tables of its foreign keys; and per index its bytes,
    scans and validity. No values of any row, and none of the planner's samples of them.

    With --workload also what evolve partition advise --facts FILE needs: per column how many values there are, how they
    are spread and ordered; keys, foreign keys and indexes; and the statements of pg_stat_statements, whose constants it
    has taken out, with their calls, time and rows.

    A role that may connect is enough, and a standby will do, which knows no write rates. Nothing is locked.
    """
    from evolve.app.export_facts import export_facts
    from evolve.cli.backfill_options import resolved_url
    from evolve.lint.facts import to_json

    url = resolved_url(location, database_url)
    if workload:
        from evolve.app.advise_table import read_use
        from evolve.partition.advice import workload as with_workload

        facts, use = read_use(url, schemas)
        document = with_workload.to_json(facts, use)
        for note in use.notes:
            click.echo(note, err=True)
    else:
        facts = export_facts(url, schemas)
        document = to_json(facts)
    if facts.approximate:
        click.echo(
            "a schema change holds a table: sizes are those of the last VACUUM or ANALYZE of each", err=True
        )
    if facts.standby:
        click.echo("this is a standby: write rates are not known, and scans are its own", err=True)
    if output is None or output == Path("-"):
        click.echo(document, nl=False)
        return
    try:
        output.write_text(document, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(output, error.strerror or str(error)) from error
    click.echo(f"wrote {output}: facts of {len(facts.relations)} tables", err=True)
