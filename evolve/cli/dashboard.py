"""`evolve dashboard`: changes, backfills and partitions of a database as a web page."""

from __future__ import annotations

import gc
import sys

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, project_options
from evolve.errors import Misuse

_EXTRA = ("starlette", "uvicorn", "jinja2", "markupsafe", "anyio", "h11")


class NoWeb(Misuse):
    def __init__(self, missing: str) -> None:
        super().__init__(
            f"the dashboard needs {missing}, which is not installed",
            fix='pip install "alembic-evolve[web]"',
        )


@click.command("dashboard")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Port to serve it on; 0 takes any that is free.",
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to serve it on.")
@click.option("--i-know", is_flag=True, help="The address may be one that other machines reach.")
@click.option("--read-only", is_flag=True, help="Show only: no buttons, and nothing can be asked for.")
@database_url_option
@project_options
def command(
    location: Location,
    /,
    port: int,
    address: str,
    i_know: bool,
    read_only: bool,
    database_url: str | None,
) -> None:
    """Serve a web page of changes in flight, backfills and partitions, until Ctrl-C.

    It prints a URL with a token, which is a new one each time: who has it sees all, and can pause, resume and cancel
    backfills and set their limits. Without an Alembic project here it shows backfills and partitions alone.
    """
    from evolve.cli.stopping import signals

    try:
        from evolve.dashboard.serve import ServingEnded
        from evolve.dashboard.start import Wish, running
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise NoWeb(error.name.partition(".")[0]) from error
    url = resolved_url(location, database_url)
    config = location.config()
    wish = Wish(
        url, config, lambda: location.project(config), _options(location), address, port, i_know, read_only
    )
    with signals() as stop, running(wish) as served:
        click.echo(served.link)
        click.echo("the page is served until Ctrl-C; whoever has this URL may use it", err=True)
        sys.stdout.flush()
        gc.freeze()  # what is there stays, and need not be looked through each time
        while stop.requested() is None:
            if not served.alive():
                raise ServingEnded
            stop.wait(1.0)


def _options(location: Location) -> tuple[str, ...]:
    """The same place, for another process."""
    return (
        *("-C", str(location.directory.absolute())),
        *(("--config", str(location.config_file.absolute())) if location.config_file else ()),
        *(("--environment", location.environment) if location.environment else ()),
    )
