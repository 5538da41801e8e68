"""The `evolve` command. Each subcommand lives in the file of its name and is imported only when it is called.

exit status   meaning
0             yes: done, nothing to complain about
1             the answer is no: findings block, a gate is shut, a run failed
2             the question was wrong: usage, configuration, project, plugin or connection
70            a bug in evolve, with its traceback
130, 143, 129 interrupted from the keyboard; told to end; its terminal went away
141           whoever read the output went away
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from evolve import __version__
from evolve.cli.lazy import LazyGroup
from evolve.cli.options import Location, location_options
from evolve.errors import EvolveError, Misuse
from evolve.redaction import legible, shown

__all__ = ["COMMANDS", "LazyGroup", "evolve", "main"]

# name → (module below evolve.cli, one line for `evolve --help`); as text, so that help imports no subcommand.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Write the settings, hook and CI job that let evolve lint a project."),
    "lint": ("lint", "Check revisions for what running code or live traffic cannot survive."),
    "facts": ("facts", "Write down sizes and write rates of a live database, for the linter to judge by."),
    "rules": ("rules", "Write lint rules of one's own."),
    "explain": ("explain", "Print the page of a lint rule, or list all rules."),
    "plan": ("plan", "Show how a change is done in phases under live traffic; with --write, begin it."),
    "advance": ("advance", "Take a change into its next phase when its gates are open."),
    "status": ("status", "Show the changes in flight and what each waits for."),
    "brown-out": ("brown_out", "Hide what a change takes away next, to see whether anybody misses it."),
    "tripwire": ("tripwire", "Have the database tell who still writes what a change takes away next."),
    "undo": ("undo", "Take a change back, after saying what that would lose."),
    "registry": ("registry", "Show which versions of the application are deployed, and what they map."),
    "history": ("history", "Show what evolve did in a database, who did it and when."),
    "drift": ("drift", "Compare a live schema with its revisions and with the models."),
    "preflight": ("preflight", "Look whether a database is ready for the pending revisions."),
    "upgrade": ("upgrade", "Apply revisions with short lock waits, retries, one runner at a time."),
    "downgrade": ("downgrade", "Revert revisions, with the same care."),
    "backfill": ("backfill", "Fill a column of a live table in small, resumable transactions."),
    "partition": ("partition", "Make a live table a partitioned one, and keep or change its partitions."),
    "dashboard": (
        "dashboard",
        "Show changes, backfills and partitions on a web page; steer backfills there.",
    ),
    "lsp": ("lsp", "Lint revisions in an editor, as a language server."),
    "plugins": ("plugins", "List the installed plugins and what they bring."),
    "demo": ("demo", "See the whole road once, on a throw-away server with a live application on it."),
    "completion": ("completion", "Print the script that completes evolve's commands in your shell."),
}

_BUG = 70
_PIPE_CLOSED = 141
_KILLED_BY = 128  # plus the number of the signal, as shells have it


class _PipeClosed(Exception):
    """Whoever read our output went away."""


class _Told(KeyboardInterrupt):
    """A signal told us to end. As an interrupt, so that the driver cancels the statement that the server is at: left
    to itself it would go on, and keep its locks, for a client that is gone.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Root(LazyGroup):
    # Broken pipes go under another name: click would end in 1 for them, which is our "the answer is no".
    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError as error:
            raise _PipeClosed from error

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosed from error


@click.group(
    cls=_Root,
    lazy=COMMANDS,
    package="evolve.cli",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@location_options
@click.version_option(__version__, prog_name="evolve", message="%(prog)s %(version)s")
@click.pass_context
def evolve(
    context: click.Context, directory: Path | None, config_file: Path | None, environment: str | None
) -> None:
    """Change the schema of a live PostgreSQL database without stopping the application.

    \b
    backward compatible: code of the previous release runs on the new schema
    forward compatible:  code of the next release runs on the old schema
    """
    context.obj = Location(directory or Path(), config_file, environment)
    context.color = _colour()


def _colour() -> bool | None:
    """What the environment asks for; None leaves it to whether the output is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return False if os.environ.get("TERM") == "dumb" else None


def main() -> None:
    """Run the command line, and leave with the exit status that its end means."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, _tell)
    try:
        status = _run()
        sys.stdout.flush()
    except (BrokenPipeError, _PipeClosed):
        # Python would flush once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = _PIPE_CLOSED
    finally:
        # What lives goes with the process: looking through it once more takes a tenth of what a short command takes.
        gc.freeze()  # also where a command answers no, which it says by SystemExit
    sys.exit(status)


def _tell(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one is meant
    raise _Told(number)


def _run() -> int:
    try:
        # In standalone mode click would end in 1 for an interrupt, which is our "the answer is no".
        answer = evolve.main(prog_name="evolve", standalone_mode=False)
    except EvolveError as error:
        print_error(error)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        print_error(_misuse(error))
        return 2
    except click.Abort as abort:
        if isinstance(abort.__cause__, KeyboardInterrupt):
            told = abort.__cause__
            number = told.number if isinstance(told, _Told) else signal.SIGINT
            click.echo("interrupted", err=True)
            return _KILLED_BY + number
        return 1  # a question was answered with no
    except _PipeClosed:
        raise
    except Exception as error:  # noqa: BLE001  # whatever is left is a bug, and must not look like an answer
        refusal = _refusal(error)
        if refusal is not None:
            print_error(refusal)
            return refusal.exit_code
        import traceback

        click.echo(shown(traceback.format_exc()), err=True, nl=False)
        click.echo(f"this is a bug in evolve {__version__}; please report it with the lines above", err=True)
        return _BUG
    return answer if isinstance(answer, int) else 0


def _refusal(error: Exception) -> EvolveError | None:
    """What a server says that refuses or leaves, or a disk that is full, wherever that is."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Misuse(f"the output cannot be written: {error.strerror}", fix="make room, or write elsewhere")
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return Misuse(
            "an argument, a setting or the name of a file holds bytes that are no text",
            fix="write it in UTF-8",
        )
    if "psycopg" not in sys.modules:
        return None
    from evolve.postgres.refusal import explain

    return explain(error)


def _misuse(error: click.ClickException) -> EvolveError:
    """What click has to say, in our own form."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    said = error.format_message().rstrip(".")
    return Misuse(
        said[:1].lower() + said[1:], fix=f"see: {context.command_path if context else 'evolve'} --help"
    )


def print_error(error: EvolveError) -> None:
    """Print what, why and fix on stderr."""
    color = False if os.environ.get("NO_COLOR") else None
    click.secho("error: ", fg="red", bold=True, nl=False, err=True, color=color)
    click.echo(legible(str(error)), err=True, color=color)
