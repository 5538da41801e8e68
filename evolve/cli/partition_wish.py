"""How a table is to be partitioned, as options of a command say it over the settings."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import click

from evolve.cli.options import Location
from evolve.cli.partition_running import BadAnswer, pair
from evolve.errors import Misuse

if TYPE_CHECKING:
    from evolve.partition.obstacles import UniqueAnswer
    from evolve.partition.plan import Wish
    from evolve.sql.names import QualifiedName

F = TypeVar("F", bound=Callable[..., object])


class NoMethod(Misuse):
    def __init__(self, table: str) -> None:
        super().__init__(
            f'how "{table}" is to be partitioned is not said',
            fix=f'--method range --key COLUMN --interval "1 month", or [tool.evolve.partition.{table}] in the settings',
        )


def scheme_options(function: F) -> F:
    """Add the options that a method takes."""
    for option in reversed(
        (
            click.option(
                "--method", help="range, list, hash, or what a plugin brings.  [default: of the settings]"
            ),
            click.option("--key", metavar="COLUMN", help="Partition by this column."),
            click.option("--interval", help='Width of a partition: "1 month", "day", 1000000 keys.'),
            click.option("--timezone", help="Whose midnights count.  [default: UTC]"),
            click.option("--premake", help='Keep partitions ready for so long: "3 months".'),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="NAME=VALUE",
                help="Any other option of the method.",
            ),
        )
    ):
        function = option(function)
    return function


def recipe_options(function: F) -> F:
    """Add the options that a conversion takes beside."""
    for option in reversed(
        (
            click.option(
                "--recipe",
                type=click.Choice(["auto", "attach", "copy"]),
                help="attach: the table becomes the first partition, no row moves; copy: rows move.  [default: auto]",
            ),
            click.option(
                "--unique",
                "unique",
                multiple=True,
                metavar="NAME=per-partition|widen",
                help="What becomes of a unique key that lacks COLUMN.",
            ),
        )
    ):
        function = option(function)
    return function


def options_of(settings: tuple[str, ...], **given: str | None) -> dict[str, object]:
    """What the command line says of the method's options."""
    named: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    return named | dict(pair("--set", text) for text in settings)


def wish_of(
    location: Location,
    table: QualifiedName,
    method: str | None,
    options: Mapping[str, object],
    recipe: str | None,
    unique: tuple[str, ...],
) -> Wish:
    """The options of the command over those of the settings; another method takes nothing from the settings."""
    from evolve.app.premake_partitions import configured_table, without_core
    from evolve.partition.plan import Wish

    configured = configured_table(location.config().partition, table)
    sub: object = None
    if configured is not None and method in (None, configured.method):
        method = configured.method
        answers = configured.options.get("unique", {})
        if not isinstance(answers, dict):
            raise BadAnswer("unique", str(answers), '{ NAME = "per-partition" }')
        sub = configured.options.get("sub")
        recipe = recipe or str(configured.options.get("recipe", "auto"))
        options = {**without_core(configured.options), **options}
        unique = (*(f"{name}={answer}" for name, answer in answers.items()), *unique)
    if method is None:
        raise NoMethod(table.plain)
    if recipe not in (None, "auto", "attach", "copy"):
        raise BadAnswer("recipe", recipe, "auto, attach or copy")
    chosen = cast('Literal["auto", "attach", "copy"]', recipe or "auto")
    return Wish(table, method, options, chosen, dict(_answer(text) for text in unique), sub)


def _answer(text: str) -> tuple[str, UniqueAnswer]:
    name, answer = pair("--unique", text)
    if answer not in ("per-partition", "widen"):
        raise BadAnswer("--unique", text, f"{name}=per-partition or {name}=widen")
    return name, cast("UniqueAnswer", answer)


def said_again(
    table: str, options: Mapping[str, str | None], settings: tuple[str, ...], unique: tuple[str, ...]
) -> str:
    """The command that carries out what these options of `evolve partition convert` plan.

    Args:
        options: by the names they have after the two dashes.
    """
    words = ["evolve", "partition", "convert", table]
    for name, value in options.items():
        words += [f"--{name}", value] if value is not None else []
    for text in settings:
        words += ["--set", text]
    for text in unique:
        words += ["--unique", text]
    return shlex.join([*words, "--run"])
