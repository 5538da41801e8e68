"""Options that say what `evolve backfill run` is to do, as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from evolve.app.wanted_backfill import Wanted

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = (
    click.argument("target"),
    click.option(
        "--set",
        "values",
        multiple=True,
        metavar="EXPRESSION",
        help="What the column gets, over the row's own columns; with --into COLUMN=EXPRESSION, several times.",
    ),
    click.option(
        "--where", metavar="PREDICATE", help="Rows that need it; verification counts what it still finds."
    ),
    click.option(
        "--from", "source", metavar='"TABLE NAME"', help="A table that --set and --where may read as well."
    ),
    click.option(
        "--join", metavar="PREDICATE", help="How a row finds its partner in --from; it must have one at most."
    ),
    click.option("--into", metavar="TABLE", help="Copy the rows of TARGET into this table."),
    click.option("--columns", metavar="A,B", help="With --into: columns that are copied as they are."),
    click.option(
        "--on-conflict",
        type=click.Choice(["error", "nothing"]),
        help="With --into: fail at a row that is there already, or leave it.  [default: error]",
    ),
    click.option(
        "--lock-source/--no-lock-source",
        default=None,
        help="Hold the rows that are read of --from, or copied, until the commit.  [default: with --into]",
    ),
    click.option("--delete", is_flag=True, help="Delete the rows of TARGET that --where finds."),
    click.option(
        "--key",
        metavar="A,B",
        help="Columns to walk by; ctid walks blocks, where there is no key.  [default: the primary key]",
    ),
    click.option("--name", help="Of the run.  [default: TARGET, with what is done to it]"),
)


def wanted_options(command: Callable[Concatenate[Wanted, P], R]) -> Callable[P, R]:
    """Add TARGET and the options that say what happens to it; the function gets them as one `Wanted`, first."""

    @functools.wraps(command)
    def wanting(*args: P.args, **kwargs: P.kwargs) -> R:
        from evolve.app.wanted_backfill import Wanted

        given: dict[str, Any] = {name: kwargs.pop(name) for name in _NAMES}
        return command(Wanted(**given), *args, **kwargs)

    for option in reversed(_OPTIONS):
        wanting = option(wanting)
    return wanting


_NAMES = (
    *(
        "target",
        "values",
        "where",
        "source",
        "join",
        "into",
        "columns",
        "on_conflict",
        "lock_source",
        "delete",
    ),
    *("key", "name"),
)
