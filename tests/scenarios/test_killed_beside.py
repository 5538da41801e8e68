"""What goes beside the road, `undo`, `brown-out`, `tripwire` and `advance --archive`, dies at every moment it has."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.command_line import start_evolve
from support.killed import killed_everywhere, no_guard_is_left, without_session
from support.standby import programs_wanted, start_again

from evolve.errors import EvolveError
from evolve.postgres.scratch import cluster, owner
from evolve.testing.phase_harness.commands import Commands

pytestmark = pytest.mark.server

CHANGE = "drop_users_name"
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 10) n;
    DO $$ BEGIN CREATE ROLE killed_client LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
    GRANT SELECT, INSERT, DELETE ON users TO killed_client;
    GRANT UPDATE (name) ON users TO killed_client WITH GRANT OPTION;
"""
PRIVILEGES = """
    SELECT NULL, x::text FROM pg_class c, aclexplode(c.relacl) x WHERE c.oid = 'users'::regclass
    UNION ALL SELECT a.attname, x::text FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = 'users'::regclass
    ORDER BY 1, 2
"""
COLUMNS = """
    SELECT attname::text FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped
"""
TRIPWIRES = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_evolve_trip%'"
BROWN_OUT = ("brown-out", CHANGE, "--for", "1s", "--check", "true")


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> Iterator[ChangeProject]:
    users = ChangeProject(make_project(database_url), database_url, SCHEMA)
    users.ok("plan", "drop-column", "users.name", "--write")
    users.ok("advance", CHANGE)  # switch
    yield users
    users.sql("DROP OWNED BY killed_client")


@pytest.fixture
def commands(users: ChangeProject) -> Iterator[Commands]:
    with Commands(users.root) as commands:
        yield commands


def test_brown_out(users: ChangeProject, commands: Commands) -> None:
    before = users.sql(PRIVILEGES)
    hidden, said = 0, ""
    for ended in killed_everywhere(commands, *BROWN_OUT):
        no_guard_is_left(users.root)
        assert users.sql(PRIVILEGES) == before, ended.moment
        assert users.sql("SELECT count(*) FROM evolve.brown_out") == [(0,)]
        told = users.ok("history", CHANGE)
        begun, over = told.count("brown-out begun: users.name is hidden"), told.count("ended before its time")
        assert begun == over + told.count("nobody missed it"), told
        hidden += bool(begun)
        said = ended.stdout
    assert hidden
    assert "nobody missed it" in said
    users.ok("advance", CHANGE, "--old-code-gone")


def test_one_that_was_cut_short_proves_nothing(users: ChangeProject) -> None:
    running = start_evolve("brown-out", CHANGE, "--for", "10min", cwd=users.root)
    while "begun" not in users.ok("history", CHANGE).replace("switch begun", ""):
        assert running.poll() is None
    running.kill()
    running.communicate()
    no_guard_is_left(users.root)
    shut = users.run("advance", CHANGE, "--old-code-gone")
    assert (shut.returncode, "it ended before its time" in shut.stdout) == (1, True)


def test_a_guard_that_dies_ends_it(users: ChangeProject) -> None:
    before = users.sql(PRIVILEGES)
    running = start_evolve("brown-out", CHANGE, "--for", "10min", cwd=users.root)
    while users.sql(PRIVILEGES) == before:
        assert running.poll() is None
    (guard,) = _children(running.pid)
    os.kill(guard, signal.SIGKILL)
    _, told = running.communicate(timeout=30)
    assert (running.returncode, "the guard" in told) == (1, True)
    assert users.sql(PRIVILEGES) == before


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as found:  # noqa: PTH123 - no file of a disk
        return [int(child) for child in found.read().split()]


def test_tripwire(users: ChangeProject, commands: Commands) -> None:
    for _ in killed_everywhere(commands, "tripwire", CHANGE):
        # It is there and known, or neither.
        assert users.sql(TRIPWIRES) == users.sql("SELECT count(*) FROM evolve.tripwire")
        assert users.run("status", CHANGE).returncode == 0
        users.sql("UPDATE users SET name = 'x' WHERE id = 1")
    assert users.sql(TRIPWIRES) == [(1,)]
    for _ in killed_everywhere(commands, "tripwire", CHANGE, "--disarm"):
        assert users.sql(TRIPWIRES) == users.sql("SELECT count(*) FROM evolve.tripwire")
    assert users.sql(TRIPWIRES) == [(0,)]


def test_undo(users: ChangeProject, commands: Commands) -> None:
    users.ok("advance", CHANGE, "--old-code-gone")
    users.ok("upgrade")
    deaths = 0
    for ended in killed_everywhere(commands, "undo", CHANGE, "--write"):
        deaths += ended.killed
        assert users.run("history").returncode == 0
        if ended.killed:
            assert users.run("upgrade").returncode in (0, 1)  # Alembic can read what is there
    assert deaths > 4
    users.ok("upgrade")
    assert users.sql(COLUMNS) == [("id",), ("name",)]
    assert users.sql("SELECT count(name) FROM users") == [(10,)]
    assert not users.manifest(CHANGE).exists()


def test_archive(users: ChangeProject, commands: Commands) -> None:
    users.ok("advance", CHANGE, "--old-code-gone")
    users.ok("upgrade")
    for _ in killed_everywhere(commands, "advance", CHANGE, "--purge-approved", "--archive"):
        users.ok("status", CHANGE)
    assert users.manifest(CHANGE).read_text().count("archive = true") == 1
    for _ in killed_everywhere(commands, "upgrade"):
        # Its values are in the table, or in the archive.
        kept = users.sql("SELECT to_regclass('evolve.archive_drop_users_name') IS NOT NULL")
        assert kept == [(True,)] or len(users.sql(COLUMNS)) == 2
    assert users.sql("SELECT count(*) FROM evolve.archive_drop_users_name") == [(10,)]


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (BROWN_OUT, 20),
        (("undo", CHANGE, "--write"), 7),
        *(
            pytest.param(words, 1, marks=pytest.mark.long)
            for words in (
                BROWN_OUT,
                ("tripwire", CHANGE),
                ("undo", CHANGE, "--write"),
                ("advance", CHANGE, "--old-code-gone"),
            )
        ),
    ],
)
def test_the_server_ends_its_session(
    users: ChangeProject, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], step: int
) -> None:
    before = users.sql(PRIVILEGES)
    number = step
    while (
        done := without_session(monkeypatch, users.root, f"evolve {words[0]}", number, *words)
    ) is not None:
        assert done.exception is None or isinstance(done.exception, EvolveError | SystemExit), done.exception
        assert users.sql(PRIVILEGES) == before, number
        users.ok("status", CHANGE)
        number += step
    assert number > step
    assert not (users.root / "migrations" / "evolve" / ".writer").exists()


@pytest.mark.long
def test_the_server_dies_in_a_brown_out(make_project: Callable[..., AlembicProject]) -> None:
    claim = owner.claim("local")
    try:
        server = cluster.start(programs_wanted(), claim.folder, {})
        try:
            users = ChangeProject(make_project(server.url), server.url, SCHEMA)
            users.ok("plan", "drop-column", "users.name", "--write")
            users.ok("advance", CHANGE)
            before = users.sql(PRIVILEGES)
            running = start_evolve("brown-out", CHANGE, "--for", "10min", cwd=users.root)
            while users.sql(PRIVILEGES) == before:
                assert running.poll() is None
            server.stop()
            _, told = running.communicate(timeout=60)
            assert (running.returncode, "a guard goes on trying" in told) == (1, True)
            server = start_again(claim.folder, server.url, {})
            no_guard_is_left(users.root)
            assert users.sql(PRIVILEGES) == before
            assert "ended before its time" in users.ok("history", CHANGE)
        finally:
            server.stop()
    finally:
        claim.release()
