"""A project on a scratch database: its migrations run as an operator would run them, each command a process."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from evolve.postgres.catalog import read_schema
from evolve.postgres.connect import connect
from evolve.sql.operations import Check, ForeignKey, NotNull
from evolve.sql.schema import Schema


class CommandFailed(Exception):
    """A command ended otherwise than it should; the text is what it said."""


@dataclass(slots=True)
class ScratchProject:
    """
    Args:
        directory: of the project.
        url: of a database that nobody else uses.
        version_table: of Alembic.
        variable: that env.py takes the database's URL from; empty where it takes sqlalchemy.url.
        applied: the revisions that the database has.
    """

    directory: Path
    url: str
    version_table: str = "alembic_version"
    variable: str = ""
    applied: frozenset[str] = frozenset()

    def upgrade(self, revision: str) -> None:
        self._evolve("upgrade", revision)

    def downgrade(self, revision: str) -> None:
        self._evolve("downgrade", revision)

    def schema(self) -> Schema:
        """What the revisions made. The version table, evolve's own tables, and whether a constraint was validated,
        which no downgrade can take back, are no part of it.
        """
        with closing(connect(self.url)) as connection:
            found = read_schema(connection)
        found.schemas.discard("evolve")
        for name in [
            name for name in found.tables if name.schema == "evolve" or name.name == self.version_table
        ]:
            del found.tables[name]
            for index in [key for key, index in found.indexes.items() if index.definition.table == name]:
                del found.indexes[index]
        for name, table in found.tables.items():
            constraints = tuple(
                replace(each, not_valid=False) if isinstance(each, Check | ForeignKey | NotNull) else each
                for each in table.constraints
            )
            found.tables[name] = replace(table, constraints=constraints)
        return found

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of Python's, in the project's folder, with the database's URL where env.py looks for it."""
        environment = {**os.environ, "EVOLVE_DATABASE_URL": self.url}
        if self.variable:
            environment[self.variable] = self.url
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _evolve(self, *arguments: str) -> None:
        done = self.run("-m", "evolve", *arguments, "--database-url", self.url)
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            progress, error, why = said.partition("error: ")
            raise CommandFailed(f"{error}{why}" if error else progress)
