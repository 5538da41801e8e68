"""Names that nobody should choose, through the whole road: what they spell is never run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.deployed import until

from evolve import client

pytestmark = pytest.mark.server

TABLE = "Or\"ders'; DROP TABLE victim; --"
COLUMN = "na\nme 🦆 %s :x $$ {y}"
NEW = '"; DROP TABLE victim; --\\'
SPACE = "It's; 🐘"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_a_change_of_hostile_names_goes_its_road_and_back(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        table = f"{quoted(SPACE)}.{quoted(TABLE)}"
        connection.execute(f"CREATE SCHEMA {quoted(SPACE)}".encode())
        connection.execute(
            f"CREATE TABLE {table} (id bigint PRIMARY KEY, {quoted(COLUMN)} text NOT NULL)".encode()
        )
        connection.execute(f"INSERT INTO {table} SELECT n, 'v' || n FROM generate_series(1, 50) n".encode())
    project = ChangeProject(make_project(database_url), database_url, "CREATE TABLE victim (id int)")
    reference = f"{quoted(SPACE)}.{quoted(TABLE)}.{quoted(COLUMN)}"
    project.ok("plan", "rename-column", reference, quoted(NEW), "--explain")
    project.ok("plan", "rename-column", reference, quoted(NEW), "--write")
    (manifest,) = (project.root / "migrations" / "evolve").glob("*.toml")
    change = manifest.stem
    for _ in range(20):
        status = project.status(change)
        command = str(status["next"] or "")
        if not command:
            break
        assert command.startswith("evolve "), status
        if "--old-code-gone" in command:
            _ask_who_uses_it(project, change, reference)
        project.ok("preflight", "--format", "json")
        project.ok(*command.split()[1:])
    assert json.loads(project.ok("status", change, "--format", "json"))["changes"][0]["following"] is None
    rows = project.sql(f"SELECT {quoted(NEW)} FROM {quoted(SPACE)}.{quoted(TABLE)} ORDER BY id LIMIT 1")
    assert rows == [("v1",)]
    project.ok("lint", "first:head", "--fail-on", "error")
    project.ok("downgrade", "first")
    assert project.sql(f"SELECT {quoted(COLUMN)} FROM {quoted(SPACE)}.{quoted(TABLE)} WHERE false") == []
    assert project.sql("SELECT count(*) FROM victim") == [(0,)]


def _ask_who_uses_it(project: ChangeProject, change: str, reference: str) -> None:
    """All that looks before something is taken away, at a version that maps just that."""
    project.ok("registry", "install")
    heart = client.heartbeat(
        lambda: psycopg.connect(project.url),
        version="1'; DROP TABLE victim; --",
        application=NEW,
        maps={f"{SPACE}.{TABLE}": [COLUMN]},
        interval=0.2,
    )
    until(lambda: "DROP TABLE" in project.ok("registry", "list", "--column", reference, "--format", "json"))
    assert "DROP TABLE victim" in project.run("advance", change, "--old-code-gone").stdout
    heart.leave()
    project.ok("tripwire", change)
    with psycopg.connect(project.url, application_name=NEW) as old:
        old.execute(
            f"UPDATE {quoted(SPACE)}.{quoted(TABLE)} SET {quoted(COLUMN)} = 'v1' WHERE id = 1".encode()
        )
    assert "DROP TABLE victim" in project.run("status", change).stdout
    project.ok("tripwire", change, "--disarm")
    role, table = quoted(f"{NEW}{os.getpid()}"), f"{quoted(SPACE)}.{quoted(TABLE)}"
    project.sql(f"CREATE ROLE {role}")
    project.sql(f"GRANT SELECT, UPDATE ON {table} TO {role} WITH GRANT OPTION")
    try:
        project.ok("brown-out", change, "--for", "1s")
        again = "SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE grantee::regrole::text = %s AND is_grantable"
        with psycopg.connect(project.url) as connection:
            assert connection.execute(again, (role,)).fetchone() == (2,)
    finally:
        project.sql(f"DROP OWNED BY {role}")
        project.sql(f"DROP ROLE {role}")
