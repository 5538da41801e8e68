"""Commands that must refuse: what they answer, and that neither a file nor the database has changed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from evolve.postgres.catalog import read_schema
from evolve.sql.schema import Schema
from support.alembic_project import AlembicProject
from support.command_line import evolve

CHANGE = "rename_users_name_to_full_name"

# Every command that can be refused, with arguments that work in a `Ground`.
COMMANDS: dict[str, tuple[str, ...]] = {
    "init": ("init", "--yes", "--ci", "none"),
    "lint": ("lint", "base:heads"),
    "lint --unapplied": ("lint", "--unapplied"),
    "facts export": ("facts", "export"),
    "plan rename-column": ("plan", "rename-column", "users.email", "mail", "--write"),
    "plan set-not-null": ("plan", "set-not-null", "users.email", "--fill", "''"),
    "plan auto": ("plan", "auto", "--non-interactive"),
    "plan add-index": ("plan", "add-index", "orders", "--on", "at"),
    "history": ("history",),
    "drift": ("drift",),
    "registry list": ("registry", "list"),
    "registry install": ("registry", "install"),
    "registry forget": ("registry", "forget"),
    "advance": ("advance", CHANGE),
    "status": ("status",),
    "brown-out": ("brown-out", CHANGE, "--for", "1s"),
    "tripwire": ("tripwire", CHANGE),
    "undo": ("undo", CHANGE, "--write"),
    "preflight": ("preflight",),
    "upgrade": ("upgrade",),
    "upgrade --dry-run": ("upgrade", "--dry-run"),
    "upgrade --sql": ("upgrade", "--sql"),
    "downgrade": ("downgrade", "base"),
    "backfill run": ("backfill", "run", "users.email", "--set", "name"),
    "backfill run CHANGE": ("backfill", "run", CHANGE),
    "backfill resume": ("backfill", "resume", "users.email"),
    "backfill work": ("backfill", "work", "users.email"),
    "backfill pause": ("backfill", "pause", "users.email"),
    "backfill cancel": ("backfill", "cancel", "users.email"),
    "backfill status": ("backfill", "status"),
    "backfill undo": ("backfill", "undo", "users.email"),
    "backfill verify": ("backfill", "verify", "users.email"),
    "backfill forget": ("backfill", "forget", "users.email"),
    "backfill log": ("backfill", "log", "users.email"),
    "backfill set": ("backfill", "set", "users.email", "duty=0.5"),
    "backfill throttle": ("backfill", "throttle", "users.email"),
    "backfill explain": ("backfill", "explain", "users.email"),
    "backfill approve": ("backfill", "approve", "users.email"),
    "backfill rejects": ("backfill", "rejects", "users.email"),
    "backfill retry-rejects": ("backfill", "retry-rejects", "users.email"),
    "partition convert": (
        *("partition", "convert", "orders", "--method", "range", "--key", "at"),
        *("--interval", "1 month", "--run"),
    ),
    "partition finish": ("partition", "finish", "orders"),
    "partition drain": ("partition", "drain", "orders", "--run"),
    "partition split": ("partition", "split", "orders", "orders_default", "--run"),
    "partition merge": ("partition", "merge", "orders", "orders_a", "orders_b", "--run"),
    "partition rehash": ("partition", "rehash", "orders", "--modulus", "8", "--run"),
    "partition undo": ("partition", "undo", "orders", "--run"),
    "partition plan": (
        *("partition", "plan", "orders", "--method", "range", "--key", "at", "--interval", "1 month"),
    ),
    "partition adopt": ("partition", "adopt", "orders", "--run"),
    "partition premake": ("partition", "premake", "orders"),
    "partition retain": ("partition", "retain", "orders"),
    "partition check": ("partition", "check", "orders"),
    "partition schedule": ("partition", "schedule", "orders", "--as", "cron"),
    "partition archive": ("partition", "archive", "orders", "--to", "attic", "--file", "csv.gz"),
    "partition restore": ("partition", "restore", "orders", "orders_2020"),
    "partition status": ("partition", "status", "orders"),
    "partition explain": ("partition", "explain", "orders", "--from-statements"),
    "partition advise": ("partition", "advise", "orders"),
}

_SQL = """
CREATE TABLE users (id bigint PRIMARY KEY, name text, email text);
INSERT INTO users SELECT i, 'name ' || i, 'email ' || i FROM generate_series(1, 20) AS i;
CREATE TABLE orders (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at));
CREATE TABLE notes (id bigint, body text);
CREATE INDEX ix_notes_body ON notes (body);
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a refused command could have changed.

    Args:
        files: path below the project → what it is and a digest of what it holds.
        rows: table → number of rows and a digest of them; the schema `evolve` counts.
    """

    files: Mapping[str, str]
    schema: Schema
    rows: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ground:
    """A project whose first revision is applied, with a change in flight whose expand phase is applied as well."""

    root: Path
    url: str
    connection: psycopg.Connection[tuple[object, ...]]

    @staticmethod
    def prepare(root: Path, url: str) -> Ground:
        connection = psycopg.connect(url, autocommit=True)
        project = AlembicProject(root, url)
        create = "; ".join(line for line in _SQL.strip().split(";\n") if line)
        project.add("one", f'op.execute("""{create}""")', 'op.execute("DROP TABLE users, orders, notes")')
        for arguments in (
            ("upgrade",),
            ("plan", "rename-column", "users.name", "full_name", "--write"),
            ("upgrade",),
        ):
            done = evolve(*arguments, cwd=root)
            assert done.returncode == 0, done.stderr
        shutil.rmtree(root / "migrations" / "__pycache__", ignore_errors=True)
        return Ground(root, url, connection)

    def copy(self, to: Path) -> Ground:
        """The same database, and a project to break."""
        shutil.copytree(self.root, to, symlinks=True)
        return replace(self, root=to)

    @property
    def versions(self) -> Path:
        return self.root / "migrations" / "versions"

    @property
    def manifest(self) -> Path:
        return self.root / "migrations" / "evolve" / f"{CHANGE}.toml"

    @property
    def head(self) -> str:
        (expand,) = self.versions.glob("*_expand_*.py")
        return expand.name.partition("_")[0]

    def add(self, name: str, text: str | bytes) -> None:
        """A revision file as it is; {head} in a text is the revision to build on."""
        content = text.replace("{head}", self.head).encode() if isinstance(text, str) else text
        (self.versions / name).write_bytes(content)

    def snapshot(self) -> Snapshot:
        files = {
            str(path.relative_to(self.root)): _digest(path)
            for path in sorted(self.root.rglob("*"))
            if "__pycache__" not in path.parts
        }
        tables = self.connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)'"
            # An upgrade that was begun is on record.
            " AND NOT (n.nspname = 'evolve' AND c.relname LIKE 'upgrade%') ORDER BY 1, 2"
        ).fetchall()
        rows = {
            f"{schema}.{table}": str(
                self.connection.execute(
                    f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) "
                    f'FROM "{schema}"."{table}" t'.encode()
                ).fetchone()
            )
            for schema, table in tables
        }
        return Snapshot(files, read_schema(self.connection), rows)

    def refused(
        self,
        *arguments: str | Path,
        says: str | tuple[str, ...],
        status: int = 2,
        env: Mapping[str, str] | None = None,
        started: bool = False,
        through: Sequence[str] = (),
    ) -> str:
        """Run a command that must refuse; returns what it says on stderr.

        Args:
            says: what its error must name.
            started: it may tell on stderr what it did before the error.
        """
        before = self.snapshot()
        done = evolve(*arguments, cwd=self.root, env=env, through=through)
        said = done.stderr
        assert "Traceback" not in said, said
        assert (done.returncode, done.stdout) == (status, ""), said or done.stdout
        assert said.startswith("error: ") or (started and "\nerror: " in said), said
        assert "\n  fix: " in said, said
        for words in (says,) if isinstance(says, str) else says:
            assert words in said, said
        after = self.snapshot()
        assert after.files == before.files
        assert after.rows == before.rows
        assert after.schema == before.schema
        return said


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_dir():
        return "directory"
    return hashlib.sha256(path.read_bytes()).hexdigest()
