"""The help of every command is what tests/golden/help/ says, so that a change of it is seen in review."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from support.golden import FOLDER, Golden

from evolve.cli import COMMANDS, evolve


def helps(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
    """The help of a command and of all commands below it."""
    answer = CliRunner().invoke(evolve, [*words[1:], "--help"], prog_name="evolve", terminal_width=100)
    assert answer.exit_code == 0, answer.output
    yield f"$ {' '.join(words)} --help\n{answer.stdout}"
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from helps(below, (*words, name))


def test_help_of_evolve(golden: Golden) -> None:
    answer = CliRunner().invoke(evolve, ["--help"], prog_name="evolve", terminal_width=100)
    golden("help/evolve.txt", answer.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_command(name: str, golden: Golden) -> None:
    command = evolve.get_command(click.Context(evolve), name)
    assert command is not None
    golden(f"help/evolve_{name}.txt", "\n".join(helps(command, ("evolve", name))))


def test_no_help_is_left_of_a_command_that_is_gone() -> None:
    expected = {"evolve.txt", *(f"evolve_{name}.txt" for name in COMMANDS)}
    assert {file.name for file in (FOLDER / "help").iterdir()} <= expected
