"""The `evolve` command. Each subcommand lives in the file of its name and is imported only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from evolve import __version__
from evolve.errors import EvolveError

# name → (module below evolve.cli, one line for `evolve --help`); kept as text so that help imports no subcommand.
COMMANDS: dict[str, tuple[str, str]] = {}


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is called, and lists them without importing any."""

    def __init__(self, *args: object, lazy: dict[str, tuple[str, str]], package: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click's own signature, passed through
        self._lazy = lazy
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"{self._package}.{self._lazy[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, line) for name, (_, line) in self._lazy.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


@click.group(cls=LazyGroup, lazy=COMMANDS, package="evolve.cli", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="evolve")
def evolve() -> None:
    """Change the schema of a live PostgreSQL database without stopping the application.

    \b
    backward compatible: code of the previous release runs on the new schema
    forward compatible:  code of the next release runs on the old schema
    """


def main() -> None:
    """Run the command line; print an `EvolveError` as error, why, fix and leave with its exit status."""
    try:
        evolve(standalone_mode=True)
    except EvolveError as error:
        print_error(error)
        sys.exit(error.exit_code)


def print_error(error: EvolveError) -> None:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(str(error), err=True)
