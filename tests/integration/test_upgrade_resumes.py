"""Upgrades that are cut short, wherever it may be, are gone on with: nothing is left out and nothing is done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, closing
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from support.alembic_project import AlembicProject
from support.dying_upgrade import Dying, dying

from evolve.app.half_applied import CutShortDowngrade
from evolve.app.upgrade import Direction, Observer, Outcome, Patience, Unfinished, migrate
from evolve.app.upgrade_ledger import CannotTell, NotAsRecorded, StillAtWork
from evolve.errors import EvolveError
from evolve.postgres.runner_lock import RunnerLockLost
from evolve.revisions.project import find_project
from evolve.revisions.run import Limits, Pending, RevisionFailed

MakeProject = Callable[..., AlembicProject]

ONE = """
op.execute("CREATE TABLE log (what text)")
op.execute("CREATE TABLE users (id int, name text)")
op.execute("ALTER TABLE users ADD CONSTRAINT short CHECK (length(name) < 9) NOT VALID")
op.execute("CREATE INDEX users_old ON users (id)")
op.execute("CREATE TYPE mood AS ENUM ('sad')")
op.execute("CREATE TABLE days (day int) PARTITION BY LIST (day)")
op.execute("CREATE TABLE days_1 PARTITION OF days FOR VALUES IN (1)")
"""
# Every kind of statement that the catalogs can tell of, and what is neither idempotent nor visible there.
TWO = """
op.execute("INSERT INTO log VALUES ('two: before')")
with op.get_context().autocommit_block():
    op.create_index("users_name", "users", ["name"], postgresql_concurrently=True)
    op.execute("ALTER TYPE mood ADD VALUE 'happy'")
    op.execute("DROP INDEX CONCURRENTLY users_old")
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT short")
    op.execute("ALTER TABLE days DETACH PARTITION days_1 CONCURRENTLY")
op.execute("INSERT INTO log VALUES ('two: after')")
"""
THREE = """
op.execute("INSERT INTO log VALUES ('three: before')")
op.execute("COMMIT")
op.execute("INSERT INTO log VALUES ('three: after')")
"""
WANTED = {"three: after", "three: before", "two: after", "two: before"}


@pytest.fixture
def project(make_project: MakeProject, database_url: str) -> AlembicProject:
    project = make_project(database_url)
    project.add("one", ONE)
    return project


@pytest.fixture
def whole(project: AlembicProject) -> Iterator[Dying]:
    project.add("two", TWO)
    project.add("three", THREE)
    with dying(project.root) as runs:
        yield runs


def state(url: str) -> dict[str, object]:
    with closing(psycopg.connect(url, autocommit=True)) as connection:

        def rows(query: str) -> list[object]:
            return [row[0] for row in connection.execute(query)]

        return {
            "version": rows("SELECT version_num FROM alembic_version"),
            "log": sorted(map(str, rows("SELECT what FROM log"))),
            "indexes": rows(
                "SELECT c.relname || ' ' || indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
                " WHERE indrelid = 'users'::regclass"
            ),
            "moods": rows("SELECT unnest(enum_range(NULL::mood))::text"),
            "valid": rows("SELECT convalidated FROM pg_constraint WHERE conname = 'short'"),
            "partitions": rows(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'days'::regclass"
            ),
        }


DONE = {
    "version": ["three"],
    "log": sorted(WANTED),
    "indexes": ["users_name true"],
    "moods": ["sad", "happy"],
    "valid": [True],
    "partitions": [],
}


def killed_at_each(runs: Dying, make_database: Callable[..., str], first: int, step: int) -> int:
    """How many upgrades were killed, each at another boundary; each is run again to its end."""
    killed = 0
    for side in ("before", "after"):
        at = first
        while True:
            url = make_database()
            if (end := runs.upgrade(url, at, side)) != "killed":
                assert end == "done"
                break
            killed += 1
            again = runs.upgrade(url)
            assert again == "done", f"killed {side} {at}: {again}"
            assert state(url) == DONE, f"killed {side} {at}"
            at += step
    return killed


def test_a_run_killed_here_and_there_is_gone_on_with(whole: Dying, make_database: Callable[..., str]) -> None:
    assert killed_at_each(whole, make_database, 23, 17) > 8


@pytest.mark.long
def test_a_run_killed_anywhere_is_gone_on_with(whole: Dying, make_database: Callable[..., str]) -> None:
    assert killed_at_each(whole, make_database, 1, 1) > 150


def ended_at_each(runs: Dying, make_database: Callable[..., str], first: int, step: int) -> int:
    """How many upgrades failed, each when another session was ended by an administrator; each is run again."""
    failed, went_well, at = 0, 0, first
    while went_well < 3:  # a session of which nothing is asked any more may go unmissed
        url = make_database()
        end = runs.upgrade(url, at, "ended")
        failed, went_well = (failed, went_well + 1) if end == "done" else (failed + 1, 0)
        again = runs.upgrade(url)
        assert again == "done", f"ended at {at}: {end}: {again}"
        assert state(url) == DONE, f"ended at {at}: {end}"
        at += step
    return failed


def test_a_run_whose_sessions_are_ended_here_and_there(
    whole: Dying, make_database: Callable[..., str]
) -> None:
    assert ended_at_each(whole, make_database, 17, 41) > 1


@pytest.mark.long
def test_a_run_whose_sessions_are_ended_anywhere(whole: Dying, make_database: Callable[..., str]) -> None:
    assert ended_at_each(whole, make_database, 1, 1) > 100


def upgrade(
    project: AlembicProject,
    url: str,
    unfinished: Unfinished | None = None,
    observer: Observer | None = None,
    budget: float = 5,
    direction: Direction = "upgrade",
    target: str = "head",
) -> Outcome:
    return migrate(
        find_project(project.root),
        url,
        target,
        direction,
        limits=Limits(lock_timeout=200, concurrently_lock_timeout=5_000),
        patience=Patience(wait=5, retries=50, budget=budget, first_delay=0.05, longest_delay=0.2),
        observer=observer or Observer(),
        unfinished=unfinished,
    )


def scalar(url: str, query: str) -> object:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


# -- what a crash left, by hand ----------------------------------------------------------------------------------
ALONE = """
with op.get_context().autocommit_block():
    op.execute("INSERT INTO log VALUES ('first')")
    op.execute("INSERT INTO log VALUES ('second')")
    op.execute("ALTER TABLE nobody ADD x int")
"""


def cut_short(project: AlembicProject, url: str, body: str, *, sent: str = "") -> Path:
    """Apply `body`, which names table nobody, and mend it; a crash would leave statement `sent` as it is left here."""
    file = project.add("two", body)
    with pytest.raises(RevisionFailed):
        upgrade(project, url)
    file.write_text(file.read_text().replace("nobody", "users"))
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE evolve.upgrade_statement SET state = 'sent' WHERE summary ~ nullif(%s, '')", (sent,)
        )
    return file


@pytest.mark.parametrize(
    ("answer", "log"),
    [
        ("done", ["first", "second"]),
        ("again", ["first", "second", "second"]),
        ("restart", ["first", "first", "second", "second"]),
    ],
)
def test_what_nobody_can_know_is_asked(
    project: AlembicProject, database_url: str, answer: Unfinished, log: list[str]
) -> None:
    cut_short(project, database_url, ALONE, sent="second")
    with pytest.raises(CannotTell) as caught:
        upgrade(project, database_url)
    assert f"evolve upgrade --unfinished {answer}" in str(caught.value.fix)
    upgrade(project, database_url, answer)
    assert scalar(database_url, "SELECT array_agg(what ORDER BY what) FROM log") == log


def test_a_build_without_a_name_leaves_none_behind(project: AlembicProject, database_url: str) -> None:
    build = "CREATE INDEX CONCURRENTLY ON users (id)"
    cut_short(
        project,
        database_url,
        f"""
        with op.get_context().autocommit_block():
            op.execute("{build}")
            op.execute("ALTER TABLE nobody ADD x int")
        """,
        sent="CREATE INDEX",
    )
    built = "indexrelid::regclass::text ~ '^users_id_idx'"
    with psycopg.connect(database_url) as connection:
        connection.execute(f"UPDATE pg_index SET indisvalid = false WHERE {built}".encode())
    upgrade(project, database_url, "again")
    assert scalar(database_url, f"SELECT array_agg(indisvalid) FROM pg_index WHERE {built}") == [True]


def test_what_was_done_is_told_when_it_is_gone_on_with(project: AlembicProject, database_url: str) -> None:
    cut_short(project, database_url, ALONE)
    told: list[str] = []

    class Listener(Observer):
        def goes_on(self, step: Pending, done: Sequence[str]) -> None:
            told.extend(done)

    upgrade(project, database_url, observer=Listener())
    assert [each.split(" (")[1] for each in told] == ["'first')", "'second')"]


def test_a_statement_that_was_done_must_be_the_same(project: AlembicProject, database_url: str) -> None:
    file = cut_short(project, database_url, ALONE)
    file.write_text(file.read_text().replace("second", "other"))
    with pytest.raises(NotAsRecorded, match="another statement in its place"):
        upgrade(project, database_url)


def test_an_index_that_somebody_dropped_meanwhile_is_told(project: AlembicProject, database_url: str) -> None:
    body = """
    with op.get_context().autocommit_block():
        op.create_index("users_name", "users", ["name"], postgresql_concurrently=True)
        op.execute("ALTER TABLE nobody ADD x int")
    """
    cut_short(project, database_url, body)
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP INDEX users_name")
    with pytest.raises(NotAsRecorded, match="not there any more"):
        upgrade(project, database_url)


def test_a_revision_that_was_stamped_by_hand_is_let_go(project: AlembicProject, database_url: str) -> None:
    """And is run whole, where it was reverted by Alembic itself after that."""
    cut_short(project, database_url, ALONE)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'two'")
    project.add("three", "pass")
    upgrade(project, database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'one'")
    upgrade(project, database_url)
    assert scalar(database_url, "SELECT count(*) FROM log") == 4


# -- what Alembic itself has passed over since -------------------------------------------------------------------
def by_alembic(project: AlembicProject, direction: Direction, target: str) -> None:
    with chdir(project.root):
        getattr(command, direction)(Config("alembic.ini"), target)


def test_what_alembic_has_reverted_since_is_done_again(project: AlembicProject, database_url: str) -> None:
    cut_short(project, database_url, ALONE)
    by_alembic(project, "upgrade", "head")
    by_alembic(project, "downgrade", "one")
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE users DROP COLUMN x")
    upgrade(project, database_url)
    assert scalar(database_url, "SELECT count(*) FROM log") == 6


BACK = """
with op.get_context().autocommit_block():
    op.execute("DROP INDEX CONCURRENTLY users_old")
    op.execute("ALTER TABLE nobody ADD x int")
"""


def half_reverted(project: AlembicProject, url: str) -> None:
    file = project.add("two", "pass", BACK)
    project.add("three", "pass")
    upgrade(project, url, target="two")
    with pytest.raises(RevisionFailed):
        upgrade(project, url, direction="downgrade", target="one")
    file.write_text(file.read_text().replace("ALTER TABLE nobody ADD x int", "SELECT 1"))


def test_going_up_over_a_downgrade_that_was_cut_short(project: AlembicProject, database_url: str) -> None:
    half_reverted(project, database_url)
    with pytest.raises(CutShortDowngrade, match="DROP INDEX CONCURRENTLY users_old") as refused:
        upgrade(project, database_url)
    assert "evolve downgrade two@-1" in str(refused.value.fix)
    upgrade(project, database_url, direction="downgrade", target="two@-1")
    assert upgrade(project, database_url).heads == ("three",)


def test_going_up_over_one_that_was_mended_by_hand(project: AlembicProject, database_url: str) -> None:
    half_reverted(project, database_url)
    upgrade(project, database_url, "restart")
    assert upgrade(project, database_url).heads == ("three",)


def test_going_up_over_one_that_alembic_has_brought_to_its_end(
    project: AlembicProject, database_url: str
) -> None:
    half_reverted(project, database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE INDEX users_old ON users (id)")
    by_alembic(project, "downgrade", "one")
    by_alembic(project, "upgrade", "two")
    assert upgrade(project, database_url).heads == ("three",)


def test_a_detachment_that_was_cut_short_is_finalized(project: AlembicProject, database_url: str) -> None:
    upgrade(project, database_url)
    project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.execute("ALTER TABLE days DETACH PARTITION days_1 CONCURRENTLY")
        """,
    )
    pending = "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'days_1'::regclass"
    with closing(psycopg.connect(database_url)) as reader:
        reader.execute("SELECT * FROM days_1")  # not of the parent: nobody is waited for before

        class Listener(Observer):
            def waits(self, reason: str) -> None:
                assert scalar(database_url, pending) is True
                reader.rollback()

        upgrade(project, database_url, observer=Listener())
    assert scalar(database_url, pending) is None


def test_a_statement_that_outlives_its_runner_is_waited_for(
    project: AlembicProject, database_url: str
) -> None:
    """The server goes on with a statement whose client was killed."""
    cut_short(project, database_url, ALONE, sent="second")
    told: list[str] = []

    class Listener(Observer):
        def waits(self, reason: str) -> None:
            told.append(reason)

    with closing(psycopg.connect(database_url, autocommit=True)) as orphan:
        orphan.execute(
            "UPDATE evolve.upgrade_step SET backends ="
            " (SELECT array_agg(pid || ' ' || extract(epoch FROM backend_start))"
            " FROM pg_stat_activity WHERE pid = pg_backend_pid())"
        )
        with pytest.raises(StillAtWork, match=str(orphan.info.backend_pid)):
            upgrade(project, database_url, observer=Listener(), budget=0.5)
    assert "still works on revision two" in told[0]
    upgrade(project, database_url, "done")


@pytest.mark.parametrize("whom", ["application_name = 'evolve runner'", "query ~ 'pg_slee[p]'"])
def test_a_connection_that_an_administrator_ends(
    project: AlembicProject, database_url: str, whom: str
) -> None:
    project.add(
        "two",
        """
        op.execute("INSERT INTO log VALUES ('before')")
        with op.get_context().autocommit_block():
            op.execute("SELECT pg_sleep(0.6)")
            op.execute("INSERT INTO log VALUES ('after')")
        """,
    )
    failed: list[EvolveError] = []

    def first() -> None:
        try:
            upgrade(project, database_url)
        except EvolveError as error:
            failed.append(error)

    runner = threading.Thread(target=first)
    runner.start()
    sleeping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'pg_slee[p]'"
    while not scalar(database_url, sleeping):
        assert runner.is_alive()
    ours = f"{whom} AND datname = current_database()"
    ended = scalar(
        database_url, f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {ours}"
    )
    assert ended == 1
    runner.join(20)
    assert isinstance(failed[0], RunnerLockLost if "runner" in whom else RevisionFailed)
    upgrade(project, database_url)
    assert scalar(database_url, "SELECT array_agg(what ORDER BY what) FROM log") == ["after", "before"]


def test_a_role_that_may_keep_no_record_migrates_all_the_same(
    make_project: MakeProject, database_url: str
) -> None:
    name = f"poor_{database_url.rsplit('/', 1)[1]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT ALL ON SCHEMA public TO {name}")
    try:
        place = database_url.split("@", 1)[1]
        project = make_project(f"postgresql://{name}:x@{place}")
        project.add("one", 'op.execute("CREATE TABLE users (id int)")')
        told: list[str] = []

        class Listener(Observer):
            def not_recorded(self, reason: str, fix: str) -> None:
                told.append(reason)

        outcome = upgrade(project, f"postgresql://{name}:x@{place}", observer=Listener())
        assert outcome.heads == ("one",)
        assert "permission denied" in told[0]
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_what_is_kept_of_a_run(project: AlembicProject, database_url: str) -> None:
    upgrade(project, database_url)
    kept = scalar(
        database_url,
        "SELECT row_to_json(x) FROM (SELECT direction, target, error, revision, state, attempts FROM evolve.upgrade_run"
        " JOIN evolve.upgrade_step USING (run_id)) AS x",
    )
    assert kept == {
        "direction": "upgrade", "target": "head", "error": None, "revision": "one", "state": "done", "attempts": 1,
    }  # fmt: skip


TENANTS = """
import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=sa.pool.NullPool)
with engine.connect() as connection:
    for tenant in ("a", "b", "c"):
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {tenant}"))
        connection.execute(sa.text(f"SET search_path TO {tenant}"))
        connection.commit()
        connection.dialect.default_schema_name = tenant
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
"""


def test_tenants_are_gone_on_with_where_each_was_cut_short(
    make_project: MakeProject, database_url: str
) -> None:
    project = make_project(database_url, env=TENANTS)
    project.add("one", 'op.execute("CREATE TABLE log (what text)")')
    upgrade(project, database_url)
    project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.execute("INSERT INTO log VALUES ('first')")
            op.execute("CREATE INDEX CONCURRENTLY log_what ON log (what)")
            op.execute("ALTER TABLE extra ADD x int")
        op.execute("INSERT INTO log VALUES ('last')")
        """,
    )
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE a.extra (); CREATE TABLE c.extra ()")
    with pytest.raises(RevisionFailed, match="extra"):
        upgrade(project, database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE b.extra ()")
    upgrade(project, database_url)
    for tenant in "abc":
        assert scalar(database_url, f"SELECT array_agg(what ORDER BY what) FROM {tenant}.log") == [
            "first",
            "last",
        ]
        assert scalar(
            database_url, f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{tenant}.log_what'::regclass"
        )


BESIDE = """
op.execute("INSERT INTO log VALUES ('before')")
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY log_what ON log (what)")
op.execute("INSERT INTO log VALUES ('after')")
"""


def killed_among_tenants(runs: Dying, make: Callable[[], str], first: int, step: int) -> int:
    killed = 0
    for side in ("before", "after"):
        at = first
        while True:
            url = make()
            if (end := runs.upgrade(url, at, side)) != "killed":
                assert end == "done"
                break
            killed += 1
            again = runs.upgrade(url)
            assert again == "done", f"killed {side} {at}: {again}"
            for tenant in "abc":
                log = scalar(url, f"SELECT array_agg(what ORDER BY what) FROM {tenant}.log")
                assert log == ["after", "before"], f"killed {side} {at}: {tenant}: {log}"
                index = f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{tenant}.log_what'::regclass"
                assert scalar(url, index), f"killed {side} {at}: {tenant}"
            at += step
    return killed


@pytest.fixture
def tenants(make_project: MakeProject, database_url: str) -> Iterator[Dying]:
    project = make_project(database_url, env=TENANTS)
    project.add("one", 'op.execute("CREATE TABLE log (what text)")')
    project.add("two", BESIDE)
    with dying(project.root) as runs:
        yield runs


def test_tenants_are_gone_on_with_where_a_run_was_killed(
    tenants: Dying, make_database: Callable[[], str]
) -> None:
    assert killed_among_tenants(tenants, make_database, 40, 71) > 2


@pytest.mark.long
def test_tenants_are_gone_on_with_wherever_a_run_was_killed(
    tenants: Dying, make_database: Callable[[], str]
) -> None:
    assert killed_among_tenants(tenants, make_database, 1, 1) > 100
