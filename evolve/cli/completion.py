"""`evolve completion SHELL`: the script with which a shell completes evolve's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/evolve",
    "zsh": "a file named _evolve in a directory of your $fpath",
    "fish": "~/.config/fish/completions/evolve.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_PLACES)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes evolve's commands and options.

    \b
    bash: evolve completion bash > ~/.local/share/bash-completion/completions/evolve
    zsh:  evolve completion zsh > "${fpath[1]}/_evolve"
    fish: evolve completion fish > ~/.config/fish/completions/evolve.fish
    """
    kind = get_completion_class(shell)
    if kind is None:  # the installed click knows fewer shells than we do
        raise click.UsageError(f"the installed click cannot complete in {shell}")
    script = kind(context.find_root().command, {}, "evolve", "_EVOLVE_COMPLETE")
    click.echo(script.source_template % script.source_vars())
    click.echo(f"save this as {_PLACES[shell]}, then open a new shell", err=True)
