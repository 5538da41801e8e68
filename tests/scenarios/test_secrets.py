"""Passwords are told to nobody: not by an error, not in a report, not in the list of processes, not to the server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import conninfo
from support.alembic_project import AlembicProject
from support.command_line import environment, evolve

pytestmark = pytest.mark.server

# Whole, in halves, and as a URL writes it: no part of it may be seen.
SECRET = "hunter2@/:%#?sesame"  # noqa: S105
PARTS = ("hunter2", "sesame", quote(SECRET, safe=""))

COMMANDS = [
    ("upgrade",),
    ("upgrade", "--format", "json"),
    ("preflight", "--format", "json"),
    ("lint", "--unapplied"),
    ("backfill", "status"),
    ("plan", "rename-column", "users.name", "full_name"),
]


def wrong(url: str, secret: str = SECRET, database: str | None = None) -> str:
    at = conninfo.conninfo_to_dict(url)
    return f"postgresql://{at['user']}:{quote(secret, safe='')}@{at['host']}:{at['port']}/{database or at['dbname']}"


def silent(done: subprocess.CompletedProcess[str]) -> None:
    printed = done.stdout + done.stderr
    assert [part for part in PARTS if part in printed] == [], printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_password_that_is_refused_is_in_no_output(
    make_project: Callable[..., AlembicProject], database_url: str, command: tuple[str, ...]
) -> None:
    """Given by alembic.ini, which is what most projects have."""
    project = make_project(wrong(database_url))
    project.add("one", "pass")
    done = evolve(*command, cwd=project.root)
    assert done.returncode == 2, done.stdout
    silent(done)


def by_option(url: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    return ("--database-url", wrong(url)), {}


def by_environment(url: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    return (), {"EVOLVE_DATABASE_URL": wrong(url)}


def by_bad_url(url: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    return (), {"EVOLVE_DATABASE_URL": f"postgresql://me:{SECRET}@[broken:x/y"}


def by_libpq(url: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    at = conninfo.conninfo_to_dict(url)
    return (), {
        "PGHOST": str(at["host"]),
        "PGPORT": str(at["port"]),
        "PGUSER": str(at["user"]),
        "PGDATABASE": str(at["dbname"]),
        "PGPASSWORD": SECRET,
    }


def by_key_and_value(url: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    at = conninfo.conninfo_to_dict(url)
    return ("--database-url", f"host={at['host']} port={at['port']} user={at['user']} password={SECRET}"), {}


@pytest.mark.parametrize("given", [by_option, by_environment, by_bad_url, by_libpq, by_key_and_value])
def test_a_password_given_in_any_way_is_in_no_output(
    make_project: Callable[..., AlembicProject],
    database_url: str,
    given: Callable[[str], tuple[tuple[str, ...], Mapping[str, str]]],
) -> None:
    project = make_project()
    project.add("one", "pass")
    options, variables = given(database_url)
    done = evolve("upgrade", *options, cwd=project.root, env=variables)
    assert done.returncode == 2, done.stdout
    silent(done)


def test_a_service_file_keeps_its_password(
    make_project: Callable[..., AlembicProject], database_url: str, tmp_path: Path
) -> None:
    at = conninfo.conninfo_to_dict(database_url)
    (tmp_path / "services").write_text(
        f"[shop]\nhost={at['host']}\nport={at['port']}\nuser={at['user']}\ndbname=nowhere\npassword={SECRET}\n"
    )
    project = make_project()
    project.add("one", "pass")
    variables = {"PGSERVICEFILE": str(tmp_path / "services"), "PGSERVICE": "shop"}
    done = evolve("upgrade", cwd=project.root, env=variables)
    assert done.returncode == 2, done.stdout
    silent(done)


@pytest.mark.parametrize(
    "raises",
    [
        "raise RuntimeError(config.get_main_option('sqlalchemy.url'))",
        "create_engine(config.get_main_option('sqlalchemy.url').replace('postgresql', 'nonsense')).connect()",
        "create_engine('postgresql+psycopg://me:hunter2@sesame:port/x').connect()",
    ],
)
def test_an_env_py_that_fails_with_its_url_in_hand(
    make_project: Callable[..., AlembicProject], database_url: str, raises: str
) -> None:
    env = f"from alembic import context\nfrom sqlalchemy import create_engine\nconfig = context.config\n{raises}\n"
    project = make_project(env=env)
    project.add("one", "pass")
    variables = {"EVOLVE_DATABASE_URL": database_url.replace("postgresql://", "postgresql+psycopg://")}
    done = evolve("upgrade", cwd=project.root, env=variables)
    assert done.returncode == 2, done.stdout
    password = conninfo.conninfo_to_dict(database_url)["password"]
    assert str(password) not in done.stdout + done.stderr
    silent(done)


def test_a_statement_that_sets_a_password_fails_without_telling_it(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    project = make_project(database_url)
    project.add("one", "op.execute(\"ALTER ROLE nobody_at_all PASSWORD 'hunter2 sesame'\")")
    done = evolve("upgrade", cwd=project.root)
    assert done.returncode == 1, done.stdout
    silent(done)


def test_neither_log_nor_hook_nor_journal_is_told(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    """Each event of an upgrade whose revision raises the URL that it has connected by."""
    project = make_project()
    project.add("one", "raise RuntimeError(op.get_bind().engine.url.render_as_string(hide_password=False))")
    keep = "import sys; open('heard', 'a').write(sys.stdin.read())"
    hook = json.dumps(f'{sys.executable} -c "{keep}"')
    (project.root / "evolve.toml").write_text(f'log = "json"\non_event = [{hook}]\n')
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS teller_of_secrets")
        connection.execute(f"CREATE ROLE teller_of_secrets LOGIN SUPERUSER PASSWORD '{SECRET}'".encode())
        try:
            user = str(conninfo.conninfo_to_dict(database_url)["user"])
            url = wrong(database_url).replace(f"//{user}:", "//teller_of_secrets:")
            done = evolve("upgrade", cwd=project.root, env={"EVOLVE_DATABASE_URL": url})
            kept = str(
                connection.execute("SELECT s, r FROM evolve.upgrade_step s, evolve.upgrade_run r").fetchall()
            )
        finally:
            connection.execute("DROP OWNED BY teller_of_secrets CASCADE")
            connection.execute("DROP ROLE teller_of_secrets")
    assert done.returncode == 1, done.stdout + done.stderr
    silent(done)
    heard = (project.root / "heard").read_text()
    assert '"revision.fail"' in heard
    assert "RuntimeError" in kept
    assert [part for part in PARTS if part in heard + kept] == []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are listed in /proc here only")
def test_nobody_who_lists_processes_or_sessions_sees_it(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS keeper_of_secrets")
        connection.execute(f"CREATE ROLE keeper_of_secrets LOGIN SUPERUSER PASSWORD '{SECRET}'".encode())
        at = conninfo.conninfo_to_dict(database_url)
        url = f"postgresql://keeper_of_secrets:{quote(SECRET, safe='')}@{at['host']}:{at['port']}/{at['dbname']}"
        project = make_project()
        project.add("one", 'op.execute("SELECT pg_sleep(3)")')
        variables = environment({"EVOLVE_DATABASE_URL": url})
        for command in ("lint", "upgrade"):
            words = [sys.executable, "-m", "evolve", command, *(["base:heads"] if command == "lint" else [])]
            with subprocess.Popen(
                words,
                cwd=project.root,
                env=variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            ) as running:
                seen = []
                while running.poll() is None:
                    seen += [_of(file, project.root) for file in Path("/proc").glob("[0-9]*/cmdline")]
                    seen += [
                        str(row)
                        for row in connection.execute(
                            "SELECT application_name, query FROM pg_stat_activity WHERE usename = 'keeper_of_secrets'"
                        )
                    ]
                    time.sleep(0.1)
                assert running.returncode == 0, running.stderr and running.stderr.read()
            assert [text for text in seen if any(part in text for part in PARTS)] == []
        connection.execute("DROP OWNED BY keeper_of_secrets CASCADE; DROP ROLE keeper_of_secrets")


def _of(file: Path, folder: Path) -> str:
    """The command line of a process that works in `folder`: another test may run commands with such a password."""
    try:
        return (
            file.read_text(errors="replace") if file.with_name("cwd").readlink() == folder.resolve() else ""
        )
    except OSError:
        return ""  # it has ended
