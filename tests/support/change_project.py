"""An Alembic project with one change, driven through the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import warnings
from contextlib import chdir
from pathlib import Path

import psycopg
from click.testing import CliRunner

from evolve.cli import evolve as command_line
from support.alembic_project import AlembicProject
from support.command_line import evolve, python

# Dies for good the n-th time a function of evolve is entered, as kill -9 would have it.
DYING = """
import importlib, os, signal, sys
module, name, nth = sys.argv[1], sys.argv[2], int(sys.argv[3])
del sys.argv[1:4]
owner = importlib.import_module(module)
real, calls = getattr(owner, name), 0
def dying(*arguments, **options):
    global calls
    calls += 1
    if calls == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(owner, name, dying)
from evolve.cli import main
main()
"""


class ChangeProject:
    """`evolve` in a project on one database."""

    def __init__(self, project: AlembicProject, url: str, schema: str) -> None:
        self.project = project
        self.root = project.root
        self.url = url
        project.add("first", f'op.execute(r"""{schema}""")', 'op.execute("DROP TABLE users")')
        self.ok("upgrade")

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return evolve(*arguments, cwd=self.root, env=environment)

    def ok(self, *arguments: str) -> str:
        """Its stdout; fails with everything it printed where it does not end well.

        It runs in this process, since a road has a dozen commands and starting Python takes a second.
        """
        with chdir(self.root), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the project's own env.py and configuration
            done = CliRunner(env={"NO_COLOR": "1"}).invoke(command_line, arguments, standalone_mode=False)
        assert done.exception is None, f"evolve {arguments}: {done.exception}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def killed(self, module: str, name: str, nth: int, *arguments: str) -> None:
        """A command that dies for good where it calls `module.name` for the nth time."""
        done = python(DYING, module, name, str(nth), *arguments, cwd=self.root)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr

    def sql(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def status(self, change: str) -> dict[str, object]:
        changes = json.loads(self.ok("status", change, "--format", "json"))["changes"]
        assert len(changes) == 1
        found: dict[str, object] = changes[0]
        return found

    @property
    def revisions(self) -> list[Path]:
        """All but the first, by the time of writing."""
        found = [path for path in self.project.versions.glob("*.py") if path.stem != "first"]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    def manifest(self, change: str) -> Path:
        return self.root / "migrations" / "evolve" / f"{change}.toml"
