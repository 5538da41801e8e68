"""`evolve brown-out`: what a change takes away next is hidden for a while, and always comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.command_line import start_evolve

from evolve.app.brown_out import run
from evolve.postgres.brown_out import BrownOutUnderWay
from evolve.revisions.project import find_project

pytestmark = pytest.mark.server

CHANGE = "drop_users_name"
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text);
    INSERT INTO users VALUES (1, 'ada');
    DO $$ BEGIN CREATE ROLE brown_client LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
    GRANT SELECT, INSERT, UPDATE, DELETE ON users TO brown_client;
"""


class Users(ChangeProject):
    def sees_it(self) -> bool:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET ROLE brown_client")
            try:
                connection.execute("SELECT name FROM users")
            except psycopg.errors.InsufficientPrivilege:
                return False
        return True

    def until(self, seen: bool) -> None:
        ending = time.monotonic() + 30
        while self.sees_it() != seen:
            assert time.monotonic() < ending
            time.sleep(0.1)


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> Iterator[Users]:
    users = Users(make_project(database_url), database_url, SCHEMA)
    users.ok("plan", "drop-column", "users.name", "--write")
    users.ok("advance", CHANGE)  # switch
    yield users
    users.sql("DROP OWNED BY brown_client")


def test_nobody_misses_it(users: Users) -> None:
    done = users.run("brown-out", CHANGE, "--for", "1s", "--check", "true")
    assert (done.returncode, "nobody missed it" in done.stdout) == (0, True)
    assert users.sees_it()
    assert "ok   nobody has missed users.name" in users.ok("advance", CHANGE, "--old-code-gone")


def test_somebody_misses_it(users: Users) -> None:
    done = users.run("brown-out", CHANGE, "--for", "60s", "--check", "echo no name >&2; false")
    assert done.returncode == 1
    assert "no name" in done.stdout
    assert users.sees_it()
    shut = users.run("advance", CHANGE, "--old-code-gone")
    assert shut.returncode == 1
    assert "no name" in shut.stdout
    users.ok("advance", CHANGE, "--override", "brown-out", "--because", "the check was wrong")


def test_a_dry_run_hides_nothing(users: Users) -> None:
    assert 'REVOKE SELECT ON "public"."users" FROM "brown_client"' in users.ok(
        "brown-out", CHANGE, "--dry-run"
    )
    assert users.sees_it()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_comes_back_whatever_becomes_of_the_command(users: Users, number: signal.Signals) -> None:
    running = start_evolve("brown-out", CHANGE, "--for", "10min", cwd=users.root)
    try:
        users.until(seen=False)
        running.send_signal(number)
        running.wait(30)
    finally:
        running.kill()
        running.communicate()
    users.until(seen=True)
    assert users.sql("SELECT count(*) FROM evolve.brown_out") == [(0,)]


def test_it_is_ended_from_elsewhere(users: Users) -> None:
    running = start_evolve("brown-out", CHANGE, "--for", "10min", cwd=users.root)
    try:
        users.until(seen=False)
        assert "is under way" in users.run("brown-out", CHANGE, "--for", "1s").stderr
        shut = users.run("advance", CHANGE, "--old-code-gone")
        assert shut.returncode == 1
        assert f"evolve brown-out {CHANGE} --end" in shut.stdout
        undo = users.run("undo", CHANGE, "--write")
        assert (undo.returncode, "is hidden by a brown-out" in undo.stderr) == (1, True)
        assert "given back" in users.ok("brown-out", CHANGE, "--end")
        assert users.sees_it()
        assert running.wait(30) == 1
    finally:
        running.kill()
        running.communicate()
    assert "nothing of it is hidden" in users.ok("brown-out", CHANGE, "--end")


def test_before_the_switch_there_is_nothing_to_hide(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    users = Users(make_project(database_url), database_url, SCHEMA)
    users.ok("plan", "drop-column", "users.name", "--write")
    refused = users.run("brown-out", CHANGE)
    users.sql("DROP OWNED BY brown_client")
    assert (refused.returncode, "takes nothing away next" in refused.stderr) == (2, True)


def test_a_second_one_leaves_the_first_alone(users: Users) -> None:
    project = find_project(users.root)
    running = start_evolve("brown-out", CHANGE, "--for", "10min", cwd=users.root)
    try:
        users.until(seen=False)
        with pytest.raises(BrownOutUnderWay):
            run(project, users.url, CHANGE, 60)
        time.sleep(1)  # in which the guard of the second could act
        assert not users.sees_it()
    finally:
        running.kill()
        running.communicate()
    users.until(seen=True)


@pytest.mark.parametrize("command", ["brown-out", "tripwire"])
def test_a_table_that_is_gone(users: Users, command: str) -> None:
    users.sql("DROP TABLE users")
    refused = users.run(command, CHANGE)
    assert (refused.returncode, "users.name is not in this database" in refused.stderr) == (1, True)
