"""`evolve preflight`: is this database ready for the revisions that are pending?"""

from __future__ import annotations

import json

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options


@click.command("preflight")
@click.argument("target", default="head")
@click.option(
    "--disk-free",
    metavar="[TABLESPACE=]SIZE",
    multiple=True,
    help="What df says, such as 20GB, or fast=1.5TB for a tablespace; may be repeated.",
)
@click.option(
    "--role", metavar="NAME", help="Whom env.py switches to with SET ROLE.  [default: whoever connects]"
)
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    target: str,
    disk_free: tuple[str, ...],
    role: str | None,
    report_format: str,
    database_url: str | None,
) -> None:
    """Look whether the database is ready for what `evolve upgrade TARGET` would run, and write nothing.

    Per statement: its locks, what it reads and writes anew, and how long readers or writers wait for it. And what would
    stop it: privileges, old transactions, room on the disk, replication slots, wraparound. Limits and
    speeds are those of [tool.evolve.preflight] and [tool.evolve.lint.sizes].

    \b
    exit status  0  ready; what is worth a look is told
                 1  something has to be mended first; the fix is told
                 2  the question was wrong: no project, no such revision, no connection
    """
    from evolve.app import target as targets
    from evolve.app.preflight import preflight
    from evolve.config_preflight import A_SIZE, read_size
    from evolve.lint.readiness import Limits
    from evolve.report.preflight import to_data, to_text
    from evolve.revisions.cache import open_store

    config = location.config()
    settings = config.preflight
    free = dict(settings.disk_free)
    for text in disk_free:
        size = read_size(text)
        if size is None:
            raise click.BadParameter(f'"{text}" is not {A_SIZE}', param_hint="--disk-free")
        free[size[0]] = size[1]
    project = location.project(config)
    found = preflight(
        project,
        targets.database_url(database_url or config.resolved_database_url(), None, project.database_url),
        target,
        limits=Limits(
            longest_lock=settings.longest_lock,
            longest_transaction=settings.longest_transaction,
            retained_wal=settings.retained_wal,
            replica_lag=settings.replica_lag,
            transactions_left=settings.transactions_left,
            disk_free=free,
        ),
        sizes=config.lint.sizes,
        role=role or settings.role,
        time_limit=config.lint.time_limit,
        store=open_store(),
    )
    revisions = [(step.revision, step.message) for step in found.pending]
    if report_format == "json":
        data = to_data(revisions, found.forecasts, found.checks, found.server, found.disk, ready=found.ready)
        click.echo(json.dumps(data, indent=2))
    else:
        click.echo(to_text(revisions, found.forecasts, found.checks))
    if not found.ready:
        raise SystemExit(1)
