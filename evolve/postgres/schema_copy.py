"""The schema of a live database, without its rows, made again on a scratch server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg import conninfo, pq, sql

from evolve.postgres.connect import connect, libpq_url
from evolve.postgres.scratch import programs

_TIMEOUT = 300.0  # seconds that pg_dump may take
_MAJOR = re.compile(r"(\d+)(?:\.\d+)?(?:\s|$)")
# What psql alone understands, and a setting that servers before 17 do not have.
_NOT_FOR_SERVERS = re.compile(r"^(?:\\.*|SET transaction_timeout = 0;)$", re.MULTILINE)


class CannotDump(Exception):
    """Why there is no copy by pg_dump."""


def copy_schema(url: str, scratch_url: str, version_table: str, version_schema: str | None) -> None:
    """Make the schema of `url` in the empty database `scratch_url`, with the rows of the version table.

    Takes ACCESS SHARE on every table for as long as pg_dump reads the catalogs; waits no longer than a second for it.

    Raises:
        CannotDump: there is no pg_dump of the server's version or later, or it or the scratch server refused.
    """
    text = _dump(url)
    name = sql.Identifier(version_schema, version_table) if version_schema else sql.Identifier(version_table)
    try:
        with connect(url, autocommit=True) as source, connect(scratch_url, autocommit=True) as target:
            # On a scratch server of ours.
            target.execute(_NOT_FOR_SERVERS.sub("", text).encode())
            target.execute("RESET search_path")
            # ACCESS SHARE on catalogs, and on a table of a few rows.
            there = source.execute("SELECT to_regclass(%s)", (name.as_string(source),)).fetchone()
            if there is not None and there[0] is not None:
                for row in source.execute(sql.SQL("SELECT version_num FROM {}").format(name)).fetchall():
                    target.execute(sql.SQL("INSERT INTO {} (version_num) VALUES (%s)").format(name), row)
    except psycopg.Error as error:
        raise CannotDump(f"the copy cannot be made: {error.diag.message_primary or error}") from error


def _dump(url: str) -> str:
    with connect(url) as connection:
        major = connection.info.server_version // 10_000
    program = _pg_dump(major)
    if program is None:
        raise CannotDump(f"there is no pg_dump of version {major} or later")
    try:
        finished = subprocess.run(
            [
                program,
                "--schema-only",
                "--no-owner",
                "--no-privileges",
                "--no-publications",
                "--no-subscriptions",
                "--lock-wait-timeout=1000",
            ],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            env=_environment(url),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotDump(f"pg_dump: {error}") from error
    if finished.returncode != 0:
        raise CannotDump((finished.stderr.strip().splitlines() or ["pg_dump failed"])[-1])
    return finished.stdout


def _environment(url: str) -> dict[str, str]:
    """Where to connect, as variables: arguments of a program are for everybody on the machine to see."""
    names = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    given = conninfo.conninfo_to_dict(libpq_url(url))
    found = dict(os.environ)
    for keyword, value in given.items():
        variable = names.get(keyword)
        if variable is not None and value is not None:
            found[variable.decode()] = str(value)
    return found


def _pg_dump(major: int) -> Path | None:
    """The oldest that is new enough."""
    folders = [each.folder for each in (*programs.on_this_machine(), *programs.in_the_wheel())]
    candidates = [folder / "pg_dump" for folder in folders]
    if found := shutil.which("pg_dump"):
        candidates.append(Path(found))
    usable = sorted((version, path) for path in candidates if (version := _version(path)) >= major)
    return usable[0][1] if usable else None


def _version(program: Path) -> int:
    if not program.is_file():
        return 0
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = _MAJOR.search(said)
    return int(found[1]) if found else 0
