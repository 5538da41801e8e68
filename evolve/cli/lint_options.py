"""The options of `evolve lint`, in groups, and what the settings add to them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Protocol, TypeVar

import click

from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.app.lint_revisions import Options
    from evolve.cli.options import Location
    from evolve.config import Config
    from evolve.lint.demands import Demands
    from evolve.lint.rule import Rule


class _Group(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


G = TypeVar("G", bound=_Group)
P = ParamSpec("P")
R = TypeVar("R")
Option = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Selecting:
    """What is read; `section` is of alembic.ini."""

    since: str | None
    staged: bool
    unapplied: bool
    section: str | None
    in_transaction: bool


@dataclass(frozen=True, slots=True)
class Judging:
    """How it is judged: the values of the command line alone."""

    enable: tuple[str, ...]
    import_ignores: tuple[str, ...]
    pg_versions: tuple[int, ...]
    window: int | None
    old_models: str | None
    facts_file: Path | None
    verify: bool
    downgrades: bool
    sandbox: bool
    no_cache: bool


@dataclass(frozen=True, slots=True)
class Failing:
    """What makes the exit status 1."""

    fail_on: str | None
    strict: bool
    require: str | None

    def demands(self, config: Config) -> Demands:
        """What the command line says, else the settings."""
        from evolve.lint.demands import Demands
        from evolve.lint.model import Severity
        from evolve.lint.verdict import Level

        required = self.require or config.lint.require
        return Demands(
            fail_on=Severity[(self.fail_on or config.lint.fail_on).upper()],
            strict=self.strict,
            required=Level[required] if required is not None else None,
        )


def group(
    kind: Callable[..., G], *options: Option
) -> Callable[[Callable[Concatenate[G, P], R]], Callable[P, R]]:
    """Add `options`, one for each field of `kind`; the function gets them as one `kind`, its first argument."""

    def add(command: Callable[Concatenate[G, P], R]) -> Callable[P, R]:
        @functools.wraps(command)
        def grouped(*args: P.args, **kwargs: P.kwargs) -> R:
            values = {field.name: kwargs.pop(field.name) for field in fields(kind)}  # type: ignore[arg-type]
            return command(kind(**values), *args, **kwargs)

        made: Callable[..., R] = grouped
        for option in reversed(options):
            made = option(made)
        return made

    return add


def _versions(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[int, ...]:
    major = click.IntRange(14, 18)
    words = [word.strip() for each in given for word in each.split(",")]
    return tuple(sorted({major(word, parameter, context) for word in words}))


selecting_options = group(
    Selecting,
    click.option("--since", metavar="GITREF", help="What is new or changed since the branch left GITREF."),
    click.option(
        "--staged", is_flag=True, help="What the next commit adds or changes, as it is in git's index."
    ),
    click.option("--unapplied", is_flag=True, help="What the database still lacks."),
    click.option(
        "-n",
        "--name",
        "section",
        metavar="SECTION",
        help="Section of alembic.ini, as `alembic -n` takes it.  "
        "[default: alembic_section of the settings, else alembic]",
    ),
    click.option(
        "--in-transaction", is_flag=True, help="Whoever runs a .sql file puts it into one transaction."
    ),
)

judging_options = group(
    Judging,
    click.option(
        "--enable", metavar="RULE", multiple=True, help="Ask an opt-in rule too: a name, 7xx, or all."
    ),
    click.option(
        "--import-ignores",
        metavar="TOOL",
        multiple=True,
        help="Ignore what squawk, eugene, strong_migrations or zdm was told to.",
    ),
    click.option(
        "--pg-version",
        "pg_versions",
        metavar="MAJOR",
        multiple=True,
        callback=_versions,
        help="Version, 14 to 18, that the revisions must run on; of several, the worst counts.  [default: 15]",
    ),
    click.option(
        "--window",
        type=click.IntRange(min=1),
        metavar="N",
        help="Judge the last N revisions each alone too: releases so old must run.",
    ),
    click.option(
        "--old-models",
        metavar="GITREF",
        help="The release that runs now.  [default: where the branch began]",
    ),
    click.option(
        "--facts",
        "facts_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Weigh findings by what `evolve facts export` wrote.",
    ),
    click.option("--verify", is_flag=True, help="Run the statements on a scratch server too, and compare."),
    click.option("--downgrades", is_flag=True, help="Check each downgrade() as well."),
    click.option(
        "--sandbox", is_flag=True, help="Read revisions where the kernel lets them only read and compute."
    ),
    click.option("--no-cache", is_flag=True, help="Read all revisions anew, and keep no readings."),
)

failing_options = group(
    Failing,
    click.option(
        "--fail-on",
        type=click.Choice(["error", "warning", "info"]),
        help="Least severe finding that makes the exit status 1.  [default: error]",
    ),
    click.option("--strict", is_flag=True, help="What could not be read makes the exit status 1 too."),
    click.option(
        "--require",
        type=click.Choice(["BACKWARD", "FORWARD", "FULL"]),
        help="The compatibility without which the exit status is 1; see above.",
    ),
)


def options(location: Location, config: Config, judging: Judging) -> Options:
    """How to judge: what the command line says, else the settings.

    Raises what reading facts and other tools' ignore lists raises; says on stderr which ignores mean nothing here.
    """
    from evolve.app.lint_settings import options_of

    told = options_of(config, judging.facts_file)
    import_from = tuple(dict.fromkeys((*told.import_from, *judging.import_ignores)))
    return replace(
        told,
        enable=(*told.enable, *judging.enable),
        imported=_imported(location, import_from) if import_from else {},
        import_from=import_from,
        postgres_versions=judging.pg_versions or told.postgres_versions,
        verify=judging.verify,
        window=told.window if judging.window is None else judging.window,
        old_models=judging.old_models,
        downgrades=judging.downgrades,
        sandbox=judging.sandbox,
        enable_here=judging.enable,
    )


def _imported(location: Location, import_from: Sequence[str]) -> Mapping[str, str]:
    from evolve.app.import_ignores import import_ignores

    imported = import_ignores(import_from, location.directory.resolve(), rules())
    for file, names in imported.unmatched.items():
        click.echo(f"{file} ignores what evolve has no rule for: {', '.join(names)}", err=True)
    return imported.reasons


def rules() -> Sequence[Rule]:
    """All rules that there are; importing them takes a while."""
    from evolve.app.explain_rule import all_rules

    return all_rules()
