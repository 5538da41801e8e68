"""How the models say that their tables are partitioned: `info={"evolve": {"partition": {…}}}` of a table."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir, redirect_stdout
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.util.exc import CommandError

from evolve.errors import Misuse
from evolve.revisions.project import Project
from evolve.revisions.run import RevisionBroken, alembic_config, load_scripts
from evolve.sql.names import QualifiedName

HINTS = "evolve"  # the key of a table's `info`


class BadPolicy(Misuse):
    def __init__(self, table: QualifiedName, what: str) -> None:
        super().__init__(
            f'the model of "{table.plain}": info["evolve"]["partition"] {what}',
            why="upkeep would go by something else than was meant",
            fix='write it as __table_args__ = {"info": {"evolve": {"partition": '
            '{"method": "range", "key": "created_at", "interval": "1 month"}}}}',
        )


def declared_partitions(project: Project) -> dict[QualifiedName, tuple[str, Mapping[str, object]]]:
    """Method and options of each table whose model says them. No database is asked; env.py runs as for --sql.

    Raises:
        BadPolicy: what a model says cannot be read.
        RevisionBroken: env.py raises.
    """
    config = alembic_config(project, "postgresql://")
    scripts = load_scripts(project, config)
    found: list[Any] = []

    def look(_revision: Any, migration: Any) -> Iterable[object]:
        given = migration.opts.get("target_metadata")
        found.extend(given if isinstance(given, Sequence) else [given])
        return ()

    try:
        with (
            chdir(project.root),
            redirect_stdout(sys.stderr),
            EnvironmentContext(
                config, scripts, fn=look, as_sql=True, output_buffer=io.StringIO(), dont_mutate=True
            ),
        ):
            scripts.run_env()
    except CommandError as error:
        raise RevisionBroken(error) from error
    except Misuse:
        raise
    except (Exception, SystemExit) as error:  # env.py and the models can raise anything
        raise RevisionBroken(error) from error
    policies = {}
    for metadata in (each for each in found if each is not None):
        for table in metadata.tables.values():
            name = QualifiedName(str(table.name), str(table.schema or metadata.schema or "public"))
            policy = policy_of(name, table.info)
            if policy is not None:
                policies[name] = policy
    return policies


def policy_of(table: QualifiedName, info: Mapping[Any, Any]) -> tuple[str, Mapping[str, object]] | None:
    """
    Raises:
        BadPolicy: what the model says cannot be read.
    """
    hints = info.get(HINTS)
    given = hints.get("partition") if isinstance(hints, Mapping) else None
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise BadPolicy(table, f"is {given!r}, not a dictionary")
    method = given.get("method")
    if not isinstance(method, str) or not method:
        raise BadPolicy(table, 'has no "method", such as "range"')
    return method, {str(name): value for name, value in given.items() if name != "method"}
