"""Options that several commands share: one spelling, one meaning, one help text."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.config import Config
    from evolve.revisions.project import Project

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Location:
    """Where a command looks for its project and its settings.

    Args:
        directory: of -C; the current directory without it.
        config_file: of --config; None takes the nearest from `directory` upward.
        environment: of -E: whose settings stand in the place of the others'.
    """

    directory: Path = Path()
    config_file: Path | None = None
    environment: str | None = None

    def config(self) -> Config:
        """Read the settings; raises what `evolve.config.load` raises."""
        from evolve import config

        return config.load(self.directory, self.config_file, self.environment)

    def project(self, config: Config, *, section: str | None = None) -> Project:
        """The Alembic project here; raises what `evolve.revisions.project.find_project` raises.

        Args:
            section: of alembic.ini; that of the settings unless given.
        """
        from evolve.revisions.project import find_project

        return find_project(
            self.directory,
            configuration=config.alembic_config,
            section=section or config.alembic_section,
            branches=config.branches,
        )


def location_options(command: F) -> F:
    """Add -C/--directory, --config and -E/--environment as they are: `directory`, `config_file`, `environment`."""
    command = click.option(
        "-E",
        "--environment",
        envvar="EVOLVE_ENVIRONMENT",
        show_envvar=True,
        metavar="NAME",
        help="Settings of [tool.evolve.environments.NAME] stand in the place of the others.",
    )(command)
    command = click.option(
        "--config",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Settings file.  [default: nearest evolve.toml, or pyproject.toml with [tool.evolve]]",
    )(command)
    return click.option(
        "-C",
        "--directory",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Act as if started in this directory.",
    )(command)


def project_options(command: Callable[Concatenate[Location, P], R]) -> Callable[P, R]:
    """Add -C/--directory, --config and -E/--environment, which also work before the command.

    The function gets them as one `Location`, its first argument.
    """

    @functools.wraps(command)
    def located(*args: P.args, **kwargs: P.kwargs) -> R:
        directory = kwargs.pop("directory", None)
        config_file = kwargs.pop("config_file", None)
        environment = kwargs.pop("environment", None)
        outer = click.get_current_context().find_object(Location) or Location()
        location = Location(
            directory if isinstance(directory, Path) else outer.directory,
            config_file if isinstance(config_file, Path) else outer.config_file,
            environment if isinstance(environment, str) else outer.environment,
        )
        return command(location, *args, **kwargs)

    return location_options(located)


def database_url_option(command: F) -> F:
    """Add --database-url, as `database_url`: what was given, or None.

    `evolve.app.target.database_url` says what it falls back to.
    """
    return click.option(
        "--database-url",
        envvar="EVOLVE_DATABASE_URL",
        show_envvar=True,
        metavar="URL",
        help="PostgreSQL to work on.  [default: database_url of the settings, else Alembic's, else PG*]",
    )(command)


def format_option(*formats: str) -> Callable[[F], F]:
    """Add --format with these choices, the first one being the default, as `report_format`."""

    def add(command: F) -> F:
        return click.option(
            "--format",
            "report_format",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            help="How the result is written to stdout.",
        )(command)

    return add
