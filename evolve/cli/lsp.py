"""`evolve lsp`: the linter as a language server, which editors start."""

from __future__ import annotations

import click

from evolve.cli.options import Location
from evolve.errors import Misuse


class NoLanguageServer(Misuse):
    def __init__(self, missing: str) -> None:
        super().__init__(
            f"the language server needs {missing}, which is not installed",
            fix='pip install "alembic-evolve[lsp]"',
        )


@click.command("lsp")
@click.option("--stdio", is_flag=True, help="Speak over standard input and output; there is no other way.")
@click.pass_obj
def command(location: Location, stdio: bool) -> None:
    """Serve an editor that speaks the Language Server Protocol, until it ends.

    The editor starts this command and shows what evolve lint would say of a revision while it is written, the page of
    each rule, and fixes. The settings are those of the project that the file belongs to.
    """
    del stdio  # what many editors add by themselves
    try:
        from evolve.lsp.server import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("pygls", "lsprotocol", "cattrs"):
            raise
        raise NoLanguageServer(error.name.partition(".")[0]) from error
    left = run(
        [
            *(("--config", str(location.config_file.absolute())) if location.config_file else ()),
            *(("--environment", location.environment) if location.environment else ()),
        ]
    )
    if not left:
        raise SystemExit(1)  # as the protocol wants it
