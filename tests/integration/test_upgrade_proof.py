"""What the server itself says of an upgrade: no wait longer than its lock_timeout; crashes and failover resumed."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.standby import programs_wanted, start_again

from evolve.app.upgrade import Observer, Outcome, Patience, migrate
from evolve.errors import EvolveError
from evolve.postgres import scratch
from evolve.postgres.scratch import cluster, owner
from evolve.revisions.project import find_project
from evolve.revisions.run import Limits

MakeProject = Callable[..., AlembicProject]

_RUNNING = shutil.ignore_patterns("postmaster.*")
RENAME = "rename_users_name_to_full_name"
LOCK_TIMEOUT = 150  # ms
CONCURRENTLY = 1_500  # ms
LOG = {
    "log_lock_waits": "on",
    "deadlock_timeout": "30ms",  # from then on a wait is logged
    "log_line_prefix": "%n|%p|%a|",
    "log_statement": "none",
    "max_connections": "60",
}
CHANGES = [
    'op.add_column("users", sa.Column("a", sa.Text))',
    'op.execute("ALTER TABLE users ADD CONSTRAINT positive CHECK (id > 0) NOT VALID")',
    'op.execute("LOCK TABLE users IN EXCLUSIVE MODE")',
    'with op.get_context().autocommit_block():\n    op.execute("CREATE INDEX CONCURRENTLY users_a ON users (a)")',
    'op.execute("ALTER TABLE users VALIDATE CONSTRAINT positive")',
    'op.drop_column("users", "a")',
]


@contextmanager
def made(make_project: MakeProject, url: str, rows: int = 1_000) -> Iterator[AlembicProject]:
    """A project whose first revision is applied; its own connections are called "revisions"."""
    project = make_project(f"{url}?application_name=revisions")
    project.add("one", f'op.execute("CREATE TABLE users AS SELECT generate_series(1, {rows}) AS id")')
    upgrade(project, url)
    yield project


def upgrade(project: AlembicProject, url: str, budget: float = 60) -> Outcome:
    return migrate(
        find_project(project.root),
        url,
        "head",
        "upgrade",
        limits=Limits(lock_timeout=LOCK_TIMEOUT, concurrently_lock_timeout=CONCURRENTLY),
        patience=Patience(wait=20, retries=500, budget=budget, first_delay=0.02, longest_delay=0.3),
        observer=Observer(),
    )


# -- the log ---------------------------------------------------------------------------------------------------------
_LINE = re.compile(r"(\d+\.\d+)\|(\d+)\|([^|]*)\|(\w+):\s+(.*)")
_WAITING = re.compile(r"process \d+ still waiting for .* after ([\d.]+) ms")
_ACQUIRED = re.compile(r"process \d+ acquired .* after ([\d.]+) ms")


def waits(log: str) -> dict[str, list[tuple[float, str]]]:
    """By application, the milliseconds of each wait that was long enough to be logged, and the statement."""
    found: dict[str, list[tuple[float, str]]] = {}
    began: dict[str, float] = {}
    for line in log.splitlines():
        read = _LINE.match(line)
        if read is None:
            continue
        at, pid, application, kind, text = float(read[1]) * 1000, *read.groups()[1:]
        ended = None
        if still := _WAITING.match(text):
            began.setdefault(pid, at - float(still[1]))
        elif got := _ACQUIRED.match(text):
            began.pop(pid, None)
            ended = float(got[1])
        elif kind in ("ERROR", "FATAL") and pid in began:
            ended = at - began.pop(pid)
        elif kind == "STATEMENT" and application in found and found[application][-1][1] == pid:
            found[application][-1] = (found[application][-1][0], text)
        if ended is not None:
            found.setdefault(application, []).append((ended, pid))
    return found


def read_log(url: str) -> str:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    return (Path(row[0]).parent / "log").read_text(errors="replace")


def assert_nobody_waited_longer(url: str, looking: int = LOCK_TIMEOUT) -> None:
    """looking: milliseconds, for those that only look at what revisions would do."""
    found = waits(read_log(url))
    ours = {name: each for name, each in found.items() if name == "revisions" or name.startswith("evolve")}
    assert any(took > 0.9 * LOCK_TIMEOUT for each in ours.values() for took, _ in each), (
        "nothing was in the way"
    )
    slack = 120  # ms: two cores with a dozen sessions
    for name, each in ours.items():
        for took, statement in each:
            limit = LOCK_TIMEOUT if name == "revisions" else max(LOCK_TIMEOUT, looking)
            limit = CONCURRENTLY if "CONCURRENTLY" in statement else limit
            assert took < limit + slack, f"{name} waited {took:.0f} ms: {statement}"


# -- the load --------------------------------------------------------------------------------------------------------
@contextmanager
def hostile(url: str, statements: list[str], sessions: int) -> Iterator[None]:
    """Sessions that each send a statement, stay idle in their transaction for a while, and begin again.

    One more holds a lock from the beginning, until somebody has waited for it for longer than may be.
    """
    stop, holds = threading.Event(), threading.Event()

    def hold() -> None:
        with (
            closing(psycopg.connect(url, application_name="hostile")) as connection,
            closing(psycopg.connect(url, autocommit=True)) as witness,
        ):
            connection.execute(statements[0].encode())
            holds.set()
            waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
            while not stop.is_set() and witness.execute(waiting).fetchone() == (False,):
                stop.wait(0.02)
            stop.wait(2 * LOCK_TIMEOUT / 1000)

    def act(number: int) -> None:
        chance = random.Random(number)
        with closing(psycopg.connect(url, application_name="hostile")) as connection:
            while not stop.is_set():
                with suppress(psycopg.errors.DeadlockDetected, psycopg.errors.UndefinedColumn):
                    connection.execute(chance.choice(statements).encode())
                    stop.wait(chance.uniform(0.05, 0.3))
                connection.rollback()
                stop.wait(chance.uniform(0.0, 0.3))

    threads = [threading.Thread(target=act, args=(number,)) for number in range(sessions)]
    threads.append(threading.Thread(target=hold))
    for thread in threads:
        thread.start()
    assert holds.wait(20)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_statement_waits_longer_than_its_lock_timeout(make_project: MakeProject) -> None:
    with scratch.server(settings=LOG) as server, made(make_project, server.url) as project:
        for number, body in enumerate(CHANGES):
            project.add(f"change{number}", body)
        load = [
            "SELECT count(*) FROM users",
            "UPDATE users SET id = id WHERE id = 1",
            "LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE",
            "ALTER TABLE users ADD COLUMN theirs int",
        ]
        with hostile(server.url, load, 2):
            upgrade(project, server.url)
        assert_nobody_waited_longer(server.url)


ROAD = ("plan rename-column users.name full_name --write", *["upgrade"] * 2, f"advance {RENAME}",
        f"backfill run {RENAME}", f"advance {RENAME}", "upgrade", f"advance {RENAME}", f"tripwire {RENAME}",
        f"tripwire {RENAME} --disarm", f"advance {RENAME} --old-code-gone", "upgrade",
        f"advance {RENAME} --purge-approved", "upgrade")  # fmt: skip


@pytest.mark.long
def test_nor_anywhere_on_the_road_of_a_change(make_project: MakeProject) -> None:
    with scratch.server(settings=LOG) as server:
        url = f"{server.url}?application_name=revisions"
        schema = "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL CHECK (name <> 'nobody'))"
        project = ChangeProject(make_project(url), server.url, schema)
        project.sql("INSERT INTO users SELECT n, 'x' FROM generate_series(1, 3000) n")
        (project.root / "evolve.toml").write_text(
            f"database_url = '{server.url}'\n[upgrade]\nlock_timeout = {LOCK_TIMEOUT}\nmax_retries = 500\n"
            f"concurrently_lock_timeout = {CONCURRENTLY}\n"
        )
        load = [
            "SELECT count(*) FROM users",
            "LOCK TABLE users IN ACCESS EXCLUSIVE MODE",
            "UPDATE users SET id = id WHERE id = 1",
            "LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE",
        ]
        with hostile(server.url, load, 2):
            for command in ROAD:
                project.ok(*command.split())
        assert_nobody_waited_longer(server.url, looking=5_000)


@pytest.mark.long
def test_nor_behind_a_vacuum_against_wraparound(make_project: MakeProject) -> None:
    """Which does not give way to DDL as other autovacuums do."""
    settings = {**LOG, "autovacuum_naptime": "1s", "autovacuum_freeze_max_age": "100000"}
    with scratch.server(settings=settings) as server, made(make_project, server.url, rows=30_000) as project:
        with closing(psycopg.connect(server.url, autocommit=True)) as connection:
            connection.execute(
                "ALTER TABLE users SET (autovacuum_enabled = false, autovacuum_vacuum_cost_delay = 20,"
                " autovacuum_vacuum_cost_limit = 1)"
            )
            connection.execute(
                "DO $$BEGIN FOR i IN 1..110000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END$$"
            )
            vacuum = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'autovacuum: VACUUM%public.users (to %'"
            end = time.monotonic() + 30
            while connection.execute(vacuum).fetchone() == (0,):
                assert time.monotonic() < end
                time.sleep(0.05)
        for number, body in enumerate(CHANGES):
            project.add(f"change{number}", body)
        with hostile(server.url, ["SELECT count(*) FROM users"], 2):
            upgrade(project, server.url)
        assert_nobody_waited_longer(server.url)


# -- crashes ---------------------------------------------------------------------------------------------------------
BOTH = """
op.execute("INSERT INTO users VALUES (-1)")
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY users_id ON users (id)")
    op.execute("SELECT pg_sleep(2)")
    op.execute("INSERT INTO users VALUES (-2)")
op.execute("INSERT INTO users VALUES (-3)")
"""
SLEEPING = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(2)'"


def whole(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        assert connection.execute("SELECT array_agg(id ORDER BY id) FROM users WHERE id < 0").fetchone() == (
            [-3, -2, -1],
        )
        assert connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_id'::regclass"
        ).fetchone() == (True,)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("two",)


def interrupted(project: AlembicProject, url: str, interrupt: Callable[[int], None]) -> EvolveError:
    """Upgrade, and call `interrupt` with the pid of the backend while it is in the middle of revision two."""
    failed: list[EvolveError] = []

    def act() -> None:
        try:
            upgrade(project, url)
        except EvolveError as error:
            failed.append(error)

    runner = threading.Thread(target=act)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        runner.start()
        while (found := connection.execute(SLEEPING).fetchone()) is None:
            assert runner.is_alive()
    interrupt(found[0])
    runner.join(30)
    return failed[0]


def until_it_answers(url: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return
        time.sleep(0.05)
    raise AssertionError("the server does not come back")


def test_a_server_that_crashes_in_the_middle(make_project: MakeProject) -> None:
    with scratch.server() as server, made(make_project, server.url) as project:
        project.add("two", BOTH)
        # One backend killed, and the server ends all of them, this one as well, and recovers.
        with closing(psycopg.connect(server.url, autocommit=True)) as witness:
            interrupted(project, server.url, lambda pid: os.kill(pid, signal.SIGKILL))
            with pytest.raises(psycopg.OperationalError):
                witness.execute("SELECT pg_sleep(30)")
        until_it_answers(server.url)
        upgrade(project, server.url)
        whole(server.url)


@contextmanager
def pair() -> Iterator[tuple[cluster.Cluster, cluster.Cluster]]:
    """A primary and a hot standby that follows it."""
    first, second = owner.claim("local"), owner.claim("local")
    try:
        primary = cluster.start(
            programs_wanted(), first.folder, {"wal_level": "replica", "max_wal_senders": "4"}
        )
        try:
            with closing(psycopg.connect(primary.url, autocommit=True)) as connection:
                connection.execute("SELECT pg_backup_start('copy', true)")
                shutil.copytree(first.folder / "data", second.folder / "data", ignore=_RUNNING)
                row = connection.execute("SELECT labelfile FROM pg_backup_stop(false)").fetchone()
            assert row is not None
            data = second.folder / "data"
            (data / "backup_label").write_text(row[0])
            (data / "standby.signal").touch()
            shutil.copytree(first.folder / "data" / "pg_wal", data / "pg_wal", dirs_exist_ok=True)
            with (data / "postgresql.conf").open("a") as conf:
                conf.write(f"\nprimary_conninfo = '{primary.url}'\n")
            user = cluster.server_user()
            if user.uid is not None:
                subprocess.run(["chown", "-R", f"{user.uid}:{user.gid}", str(data)], check=True)
            port = cluster._free_port()
            standby = start_again(second.folder, re.sub(r":\d+/", f":{port}/", primary.url), {})
            try:
                yield primary, standby
            finally:
                standby.stop()
        finally:
            primary.stop()
    finally:
        first.release()
        second.release()


@pytest.mark.long
def test_failover_in_the_middle(make_project: MakeProject) -> None:
    with pair() as (primary, standby), made(make_project, primary.url) as project:
        project.add("two", BOTH)

        def fail_over(_pid: int) -> None:
            time.sleep(0.2)  # what was sent reaches the standby
            primary.stop()
            with closing(psycopg.connect(standby.url, autocommit=True)) as connection:
                connection.execute("SELECT pg_promote()")

        interrupted(project, primary.url, fail_over)
        ini = project.root / "alembic.ini"
        ports = [re.search(r":(\d+)/", each.url) for each in (primary, standby)]
        assert all(ports)
        ini.write_text(ini.read_text().replace(f":{ports[0][1]}/", f":{ports[1][1]}/"))  # type: ignore[index]
        upgrade(project, standby.url)
        whole(standby.url)
