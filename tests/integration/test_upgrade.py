"""`migrate` on a real server: limits on every connection, retries, blockers, one runner at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import psycopg
import pytest
from sqlalchemy import create_engine
from support.alembic_project import ENV, AlembicProject, sqlalchemy_url

from evolve.app.upgrade import (
    Direction,
    Done,
    Environment,
    Observer,
    Outcome,
    OutOfPatience,
    Patience,
    migrate,
)
from evolve.errors import Misuse
from evolve.postgres.blockers import Blocker
from evolve.postgres.invalid_indexes import drop_invalid_index
from evolve.postgres.runner_lock import AnotherRunner, RecordLocked, RunnerLockLost
from evolve.revisions.project import find_project
from evolve.revisions.run import (
    CannotReach,
    Limits,
    NotStamped,
    Pending,
    RevisionBroken,
    RevisionFailed,
    RevisionRaised,
    RollsBack,
    WrongDatabase,
)

MakeProject = Callable[..., AlembicProject]
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_id'::regclass"
LIMITS = Limits(lock_timeout=100, concurrently_lock_timeout=5_000)
QUICK = Patience(wait=5, retries=50, budget=20, first_delay=0.05, longest_delay=0.2)


@dataclass
class Witness(Observer):
    """An observer that remembers."""

    holders: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    failures: list[tuple[RevisionFailed, list[Blocker]]] = field(default_factory=list)
    retried: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Event = field(default_factory=threading.Event)

    def waiting_for_runner(self, holder: str) -> None:
        self.holders.append(holder)
        self.waiting.set()

    def begins(self, step: Pending, number: int, total: int) -> None:
        self.begun.append(f"{number}/{total} {step.revision}")

    def retries(self, failure: RevisionFailed, blockers: list[Blocker], delay: float) -> None:
        self.failures.append((failure, blockers))
        self.retried.set()

    def ends(self, done: Done) -> None: ...


def run(
    project: AlembicProject,
    url: str,
    target: str = "head",
    direction: Direction = "upgrade",
    *,
    patience: Patience = QUICK,
    limits: Limits = LIMITS,
    witness: Witness | None = None,
) -> Outcome:
    return migrate(
        find_project(project.root),
        url,
        target,
        direction,
        limits=limits,
        patience=patience,
        observer=witness or Witness(),
        environment=Environment(),
    )


@contextmanager
def holding(
    url: str, statement: str, name: str = "nightly-report"
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session that keeps the locks of `statement` until it commits."""
    with psycopg.connect(url, application_name=name) as connection:
        connection.execute(statement)
        yield connection
        connection.rollback()


def scalar(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


@pytest.fixture
def project(make_project: MakeProject, database_url: str) -> AlembicProject:
    project = make_project(database_url)
    project.add(
        "one", 'op.execute("CREATE TABLE users (id int PRIMARY KEY)")', 'op.execute("DROP TABLE users")'
    )
    return project


def test_it_applies_what_is_missing_in_order(project: AlembicProject, database_url: str) -> None:
    project.add(
        "two", 'op.add_column("users", sa.Column("name", sa.Text))', 'op.drop_column("users", "name")'
    )
    witness = Witness()
    outcome = run(project, database_url, witness=witness)
    assert witness.begun == ["1/2 one", "2/2 two"]
    assert outcome.heads == ("two",)
    assert run(project, database_url).done == ()


def test_it_goes_down_one_revision_at_a_time(project: AlembicProject, database_url: str) -> None:
    project.add(
        "two", 'op.add_column("users", sa.Column("name", sa.Text))', 'op.drop_column("users", "name")'
    )
    run(project, database_url)
    down = run(project, database_url, "-1", "downgrade")
    assert [done.revision for done in down.done] == ["two"]
    assert down.heads == ("one",)
    assert run(project, database_url, "base", "downgrade").heads == ()
    assert scalar(database_url, "SELECT to_regclass('users')") is None


def test_hand_written_sql_waits_no_longer_than_the_lock_timeout(
    project: AlembicProject, database_url: str
) -> None:
    project.add(
        "two", "op.execute(\"SELECT set_config('evolve.seen', current_setting('lock_timeout'), false)\")"
    )
    project.add(
        "three", "op.execute(\"CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS value\")"
    )
    run(project, database_url)
    assert scalar(database_url, "SELECT value FROM seen") == "100ms"


def test_it_retries_until_the_lock_is_free_and_names_who_held_it(
    project: AlembicProject, database_url: str
) -> None:
    run(project, database_url)
    project.add("two", 'op.add_column("users", sa.Column("name", sa.Text))')
    witness = Witness()
    with holding(database_url, "SELECT * FROM users") as reader:
        runner = threading.Thread(target=run, args=(project, database_url), kwargs={"witness": witness})
        runner.start()
        assert witness.retried.wait(10)
        while len(witness.failures) < 3:
            assert runner.is_alive()
        reader.rollback()
        runner.join(10)
    assert scalar(database_url, "SELECT version_num FROM alembic_version") == "two"
    assert {failure.sqlstate for failure, _ in witness.failures} == {"55P03"}
    # On a busy machine a wait may be over before anybody has looked.
    named = [blocker for _, blockers in witness.failures for blocker in blockers]
    assert {blocker.application for blocker in named} == {"nightly-report"}
    assert "SELECT * FROM users" in str(named[0])


def test_the_budget_ends_the_waiting(project: AlembicProject, database_url: str) -> None:
    run(project, database_url)
    project.add("two", 'op.add_column("users", sa.Column("name", sa.Text))')
    with (
        holding(database_url, "SELECT * FROM users"),
        pytest.raises(OutOfPatience, match="did not get its lock") as caught,
    ):
        run(project, database_url, patience=Patience(wait=1, retries=99, budget=0.5, first_delay=0.1))
    assert "nightly-report" in str(caught.value.why)
    assert scalar(database_url, "SELECT version_num FROM alembic_version") == "one"


def test_what_was_applied_before_a_failure_stays(project: AlembicProject, database_url: str) -> None:
    project.add("two", 'op.add_column("users", sa.Column("name", sa.Text))')
    project.add("three", 'op.execute("ALTER TABLE nobody ADD x int")')
    with pytest.raises(RevisionFailed, match=r'three.py:\d+: relation "nobody" does not exist') as caught:
        run(project, database_url)
    assert caught.value.half_applied == ()
    assert scalar(database_url, "SELECT version_num FROM alembic_version") == "two"


def test_a_half_applied_revision_is_gone_on_with(project: AlembicProject, database_url: str) -> None:
    file = project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.execute("CREATE TABLE kept (id int)")
        op.execute("ALTER TABLE nobody ADD x int")
        """,
    )
    with pytest.raises(RevisionFailed) as caught:
        run(project, database_url)
    assert len(caught.value.half_applied) == 1
    assert "CREATE TABLE kept" in str(caught.value.fix)
    file.write_text(file.read_text().replace("nobody", "users"))
    assert run(project, database_url).heads == ("two",)


BUILD = """
    op.execute("DO $$-- evolve: gate\\nBEGIN END$$")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS users_id")
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY users_id ON users (id)")
    """


@pytest.mark.usefixtures("nobody_is_older")
def test_an_interrupted_reindex_leaves_no_index_behind(project: AlembicProject, database_url: str) -> None:
    run(project, database_url)
    project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.execute("REINDEX TABLE CONCURRENTLY users")
        """,
    )
    witness = Witness()
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    with holding(database_url, "UPDATE users SET id = id") as writer:

        def wait() -> None:
            assert witness.retried.wait(20)
            assert scalar(database_url, invalid) == 1
            writer.rollback()

        threading.Thread(target=wait).start()
        limits = Limits(lock_timeout=100, concurrently_lock_timeout=300)
        run(project, database_url, witness=witness, limits=limits)
    assert scalar(database_url, invalid) == 0


@pytest.mark.usefixtures("nobody_is_older")
def test_a_build_that_clears_away_first_is_tried_again(project: AlembicProject, database_url: str) -> None:
    run(project, database_url)
    project.add("two", BUILD)
    witness = Witness()
    limits = Limits(lock_timeout=100, concurrently_lock_timeout=200)
    with holding(database_url, "LOCK users IN SHARE ROW EXCLUSIVE MODE") as holder:
        threading.Thread(target=lambda: witness.retried.wait(20) and holder.rollback()).start()
        run(project, database_url, limits=limits, witness=witness)
    assert witness.failures
    assert scalar(database_url, VALID) is True


def test_a_build_that_meets_a_duplicate_names_it_and_may_be_run_again(
    project: AlembicProject, database_url: str
) -> None:
    run(project, database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE users DROP CONSTRAINT users_pkey; INSERT INTO users VALUES (7), (7)")
    project.add("two", BUILD)
    with pytest.raises(RevisionFailed, match=r"Key \(id\)=\(7\) is duplicated") as caught:
        run(project, database_url)
    assert str(caught.value.fix).endswith("then run it again")


@pytest.mark.parametrize(
    ("env", "leave"),
    [
        (ENV, 'op.execute("COMMIT")'),
        (ENV, 'op.execute("SELECT 1; COMMIT")'),
        (ENV.replace("poolclass=", 'isolation_level="AUTOCOMMIT", poolclass='), "pass"),
    ],
    ids=["commit", "commit among others", "engine in autocommit"],
)
def test_what_a_raw_commit_made_permanent_is_not_done_again(
    make_project: MakeProject, database_url: str, env: str, leave: str
) -> None:
    project = make_project(database_url, env=env)
    project.add("one", 'op.execute("CREATE TABLE users (id int)")')
    run(project, database_url)
    project.add(
        "two", f'op.execute("CREATE TABLE kept (id int)")\n{leave}\nop.execute("ALTER TABLE users ADD x int")'
    )
    witness = Witness()
    with holding(database_url, "SELECT * FROM users") as reader:
        threading.Thread(target=lambda: witness.retried.wait(20) and reader.rollback()).start()
        run(project, database_url, witness=witness)
    assert "CREATE TABLE kept" in witness.failures[0][0].half_applied[0]
    assert scalar(database_url, "SELECT version_num FROM alembic_version") == "two"


@pytest.mark.parametrize("leave", ["ROLLBACK", "SELECT 1; rollback work", "abort"])
def test_a_revision_does_not_take_back_what_it_has_done_and_count_as_applied(
    project: AlembicProject, database_url: str, leave: str
) -> None:
    project.add("two", f'op.execute("CREATE TABLE gone (id int)")\nop.execute("{leave}")')
    with pytest.raises(RollsBack, match=r"two\.py:\d+ rolls back .*: CREATE TABLE gone"):
        run(project, database_url)
    assert scalar(database_url, "SELECT count(*) FROM alembic_version WHERE version_num = 'two'") == 0


def test_what_was_only_tried_may_be_rolled_back(project: AlembicProject, database_url: str) -> None:
    project.add(
        "two",
        """
        op.execute("CREATE TABLE kept (id int)")
        op.execute("SAVEPOINT try")
        op.execute("CREATE TABLE gone (id int)")
        op.execute("ROLLBACK TO SAVEPOINT try")
        """,
    )
    run(project, database_url)
    assert scalar(database_url, "SELECT to_regclass('kept') IS NOT NULL AND to_regclass('gone') IS NULL")


def test_a_revision_that_raises_is_named_with_its_line_and_what_is_permanent(
    project: AlembicProject, database_url: str
) -> None:
    project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.execute("CREATE TABLE kept (id int)")
        {}["nothing"]
        """,
    )
    with pytest.raises(
        RevisionRaised, match=r"revision two failed at two.py:13: KeyError: 'nothing'"
    ) as caught:
        run(project, database_url)
    assert "CREATE TABLE kept" in str(caught.value.fix)


def test_an_autocommit_block_in_a_transaction_of_env_py_is_told(
    make_project: MakeProject, database_url: str
) -> None:
    project = make_project(database_url, env=ENV.replace("engine.connect()", "engine.begin()"))
    project.add("one", "with op.get_context().autocommit_block():\n    pass")
    with pytest.raises(RevisionRaised, match=r"one.py:11") as caught:
        run(project, database_url)
    assert "engine.connect()" in str(caught.value.fix)


@pytest.fixture
def nobody_is_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if whoever holds a lock had come right after the look at older transactions."""
    monkeypatch.setattr("evolve.app.upgrade.old_snapshots", lambda *_: [])


@pytest.mark.usefixtures("nobody_is_older")
def test_an_interrupted_concurrent_index_is_dropped_and_built_again(
    project: AlembicProject, database_url: str
) -> None:
    run(project, database_url)
    project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.create_index("users_id", "users", ["id"], postgresql_concurrently=True)
        """,
    )
    witness = Witness()
    with holding(database_url, "UPDATE users SET id = id") as writer:
        limits = Limits(lock_timeout=100, concurrently_lock_timeout=300)
        runner = threading.Thread(
            target=run, args=(project, database_url), kwargs={"witness": witness, "limits": limits}
        )
        runner.start()
        assert witness.retried.wait(10)
        writer.rollback()
        runner.join(20)
    assert scalar(database_url, VALID) is True


@pytest.mark.parametrize(
    ("statement", "limit"),
    [
        ("INSERT INTO seen SELECT current_setting('statement_timeout')", "40s"),
        # Long, and in nobody's way; what is checked looks at the limit that holds meanwhile.
        ("ALTER TABLE users VALIDATE CONSTRAINT looks", "0"),
    ],
)
def test_a_statement_timeout_holds_for_what_may_be_in_the_way(
    project: AlembicProject, database_url: str, statement: str, limit: str
) -> None:
    run(project, database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE seen (value text); INSERT INTO users VALUES (1)")
        connection.execute(
            "CREATE FUNCTION look(int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN"
            " INSERT INTO seen VALUES (current_setting('statement_timeout')); RETURN true; END$$"
        )
        connection.execute("ALTER TABLE users ADD CONSTRAINT looks CHECK (look(id)) NOT VALID")
    project.add("two", f'op.execute("{statement}")')
    run(project, database_url, limits=replace(LIMITS, statement_timeout=40_000))
    assert scalar(database_url, "SELECT value FROM seen") == limit


def test_concurrent_builds_get_their_own_longer_timeout(project: AlembicProject, database_url: str) -> None:
    run(project, database_url)
    project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.create_index("users_id", "users", ["id"], postgresql_concurrently=True)
            op.execute("CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS value")
        """,
    )
    witness = Witness()
    with holding(database_url, "UPDATE users SET id = id") as writer:
        runner = threading.Thread(target=run, args=(project, database_url), kwargs={"witness": witness})
        runner.start()
        assert not witness.retried.wait(1.0)  # ten times lock_timeout
        writer.rollback()
        runner.join(20)
    assert scalar(database_url, "SELECT value FROM seen") == "100ms"


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE users ADD x int -- never concurrently",
        "ALTER TABLE users ADD x text DEFAULT 'concurrently'",
    ],
)
def test_the_mere_word_concurrently_gives_no_longer_timeout(
    project: AlembicProject, database_url: str, sql: str
) -> None:
    run(project, database_url)
    project.add("two", f"op.execute({sql!r})")
    patience = Patience(retries=0)
    with holding(database_url, "SELECT * FROM users"), pytest.raises(OutOfPatience):
        run(project, database_url, patience=patience, limits=Limits(100, 0, 2_000))


REFRESH = "REFRESH MATERIALIZED VIEW CONCURRENTLY ids"


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        (f'op.execute("ALTER TABLE users ADD x int")\nop.execute("{REFRESH}")', REFRESH),
        (
            f'with op.get_context().autocommit_block():\n    op.execute("{REFRESH}; ALTER TABLE users ADD x int")',
            "SELECT * FROM users",
        ),
    ],
)
def test_concurrently_gives_no_longer_timeout_in_a_transaction(
    project: AlembicProject, database_url: str, body: str, holds: str
) -> None:
    """What else is in the transaction keeps its locks meanwhile, or waits for them as long."""
    project.add(
        "view",
        'op.execute("CREATE MATERIALIZED VIEW ids AS SELECT 1 AS id; CREATE UNIQUE INDEX ON ids (id)")',
    )
    run(project, database_url)
    project.add("two", body)
    with holding(database_url, holds), pytest.raises(OutOfPatience, match=r"over [0-3] s"):
        run(project, database_url, patience=Patience(retries=0), limits=Limits(100, 6_000))


SHARED_ENGINE = ENV.replace(
    'engine = create_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)',
    """import sys
    engine = sys.modules["__main__"].__dict__.setdefault(
        "shared " + config.get_main_option("sqlalchemy.url"),
        create_engine(config.get_main_option("sqlalchemy.url"), pool_size=1),
    )""",
)


@pytest.fixture
def sharing(make_project: MakeProject, database_url: str) -> Iterator[AlembicProject]:
    """A project whose env.py takes the application's engine, and with it connections that were opened before."""
    yield make_project(database_url, env=SHARED_ENGINE)
    sys.modules["__main__"].__dict__.pop(f"shared {sqlalchemy_url(database_url)}").dispose()


def test_what_a_revision_sets_for_its_session_ends_with_it(
    sharing: AlembicProject, database_url: str
) -> None:
    sharing.add("one", "op.execute(\"SET lock_timeout = '1h'\")")
    sharing.add("two", "op.execute(\"CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS waits\")")
    run(sharing, database_url)
    assert scalar(database_url, "SELECT waits FROM seen") == "100ms"


def test_a_blocker_is_named_behind_a_connection_that_was_opened_before(
    sharing: AlembicProject, database_url: str
) -> None:
    sharing.add("one", 'op.execute("ALTER TABLE users ADD x int")')
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE users (id int)")
    with holding(database_url, "SELECT * FROM users"), pytest.raises(OutOfPatience, match="nightly-report"):
        run(sharing, database_url, patience=Patience(retries=1, first_delay=0.05))


@pytest.mark.parametrize(
    "build",
    [
        "-- of all users\nCREATE UNIQUE INDEX CONCURRENTLY users_id ON users (id)",
        "CREATE UNIQUE INDEX CONCURRENTLY ON users (id)",
        'SET search_path = other; CREATE UNIQUE INDEX CONCURRENTLY "users-id" ON users (id)',
    ],
)
def test_no_index_is_left_behind_by_a_build_that_fails(
    project: AlembicProject, database_url: str, build: str
) -> None:
    run(project, database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE SCHEMA other; ALTER TABLE users DROP CONSTRAINT users_pkey")
        if "other" in build:
            connection.execute("ALTER TABLE users SET SCHEMA other")
        connection.execute("INSERT INTO {}users VALUES (1), (1)".format("other." * ("other" in build)))
    sent = "\n".join(f"    op.execute({each!r})" for each in build.split("; "))
    project.add("two", f"with op.get_context().autocommit_block():\n{sent}")
    with pytest.raises(RevisionFailed):
        run(project, database_url)
    assert scalar(database_url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


@pytest.mark.parametrize(
    "settings", ["search_path = other", "LOCAL search_path = versions", "ROLE pg_monitor"]
)
def test_a_revision_whose_settings_keep_alembic_from_its_table(
    project: AlembicProject, database_url: str, settings: str
) -> None:
    run(project, database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE SCHEMA versions; CREATE TABLE versions.alembic_version (version_num text)")
    project.add("two", f'op.execute("ALTER TABLE users ADD x int")\nop.execute("SET {settings}")')
    with pytest.raises(NotStamped, match="two"):
        run(project, database_url)
    assert scalar(database_url, "SELECT count(*) FROM pg_attribute WHERE attname = 'x' AND attnum > 0") == 0


def test_an_index_that_somebody_still_builds_is_left_alone(
    project: AlembicProject, database_url: str
) -> None:
    run(project, database_url)

    def build() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("CREATE INDEX CONCURRENTLY users_id ON users (id)")

    def drop() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            drop_invalid_index(connection, "users_id", "users", lock_timeout=0)

    builder, dropper = threading.Thread(target=build), threading.Thread(target=drop)
    with holding(database_url, "UPDATE users SET id = id") as writer:
        builder.start()
        while scalar(database_url, "SELECT to_regclass('users_id')") is None:
            assert builder.is_alive()
        dropper.start()
        dropper.join(1)
        writer.rollback()
        builder.join(10)
        dropper.join(10)
    assert scalar(database_url, VALID) is True


def test_an_index_that_a_killed_runner_left_is_built_again(
    project: AlembicProject, database_url: str
) -> None:
    run(project, database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO users VALUES (1)")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("CREATE INDEX CONCURRENTLY users_id ON users ((1 / (id - 1)))")
    project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.create_index("users_id", "users", ["id"], postgresql_concurrently=True)
        """,
    )
    run(project, database_url)
    assert scalar(database_url, VALID) is True


def test_a_runner_that_lost_its_lock_begins_no_further_revision(
    project: AlembicProject, database_url: str
) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'evolve runner'"
    project.add("two", f'op.execute("{end} AND datname = current_database()")')
    project.add("three", "pass")
    with pytest.raises(RunnerLockLost):
        run(project, database_url)
    assert scalar(database_url, "SELECT version_num FROM alembic_version") == "two"


def test_the_lock_outlives_an_idle_session_timeout(project: AlembicProject, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE \"{name}\" SET idle_session_timeout = '300ms'")
    project.add("two", 'op.execute("SELECT pg_sleep(0.8)")')
    assert run(project, database_url).heads == ("two",)


RUNNERS = "pg_stat_activity WHERE application_name = 'evolve runner' AND datname = current_database()"
UNTIL_TWO = f'''
op.execute("""
DO $$BEGIN
  WHILE (SELECT count(*) < 2 FROM {RUNNERS}) LOOP
    PERFORM pg_sleep(0.1), pg_stat_clear_snapshot();
  END LOOP;
  PERFORM pg_sleep(1);
END$$""")
'''


def test_a_second_runner_waits_and_finds_nothing_to_do(project: AlembicProject, database_url: str) -> None:
    project.add("two", UNTIL_TWO)
    first = threading.Thread(target=run, args=(project, database_url))
    first.start()
    while not scalar(database_url, f"SELECT count(*) FROM {RUNNERS}"):
        assert first.is_alive()
    try:
        outcome = in_another_process(project, database_url)
    finally:
        first.join(10)
    assert str(outcome["holder"]).startswith("pid ")
    assert outcome["done"] == 0


CHILD = """
import json, sys
from pathlib import Path
from evolve.app.upgrade import Observer, Patience, migrate
from evolve.revisions.project import find_project
from evolve.revisions.run import Limits

class Listener(Observer):
    holder = ""
    def waiting_for_runner(self, holder): self.holder = holder

listener = Listener()
outcome = migrate(find_project(Path(sys.argv[1])), sys.argv[2], "head", "upgrade",
                  limits=Limits(100, 1000), patience=Patience(wait=10), observer=listener)
print(json.dumps({"holder": listener.holder, "done": len(outcome.done)}))
"""


def in_another_process(project: AlembicProject, url: str) -> dict[str, object]:
    """Alembic's globals are one per process, so a second runner is a second process."""
    finished = subprocess.run(
        [sys.executable, "-c", CHILD, str(project.root), url],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    found: dict[str, object] = json.loads(finished.stdout)
    return found


def test_a_runner_that_never_ends_is_named(project: AlembicProject, database_url: str) -> None:
    with (
        holding(
            database_url, "SELECT pg_advisory_lock(1702260588, hashtext('.alembic_version'))", "stuck runner"
        ),
        pytest.raises(AnotherRunner, match="another runner still works"),
    ):
        run(project, database_url, patience=Patience(wait=0.3))


def test_an_env_py_that_goes_to_another_database_is_refused(
    make_project: MakeProject, make_database: Callable[..., str]
) -> None:
    theirs, ours = make_database(), make_database()
    project = make_project(theirs)
    project.add("one", 'op.execute("CREATE TABLE users (id int)")')
    with pytest.raises(WrongDatabase):
        run(project, ours)
    assert scalar(theirs, "SELECT to_regclass('users')") is None


def test_nor_by_a_connection_that_was_opened_before(
    sharing: AlembicProject, database_url: str, make_database: Callable[..., str]
) -> None:
    sharing.add("one", 'op.execute("CREATE TABLE users (id int)")')
    theirs = make_database()
    engine = create_engine(sqlalchemy_url(theirs), pool_size=1)
    engine.connect().close()
    sys.modules["__main__"].__dict__[f"shared {sqlalchemy_url(database_url)}"] = engine
    with pytest.raises(WrongDatabase):
        run(sharing, database_url)
    assert scalar(theirs, "SELECT to_regclass('users')") is None


@pytest.mark.parametrize("tables", [True, False], ids=["again", "for the first time"])
def test_an_env_py_that_cannot_connect_is_no_fault_of_a_revision(
    project: AlembicProject, database_url: str, tables: bool
) -> None:
    """As while a server starts again."""
    if tables:
        run(project, database_url)
        project.add("two", "pass")
    nowhere = '"postgresql+psycopg://me@127.0.0.1:1/shop"'
    env = ENV.replace('config.get_main_option("sqlalchemy.url")', nowhere)
    (project.root / "migrations" / "env.py").write_text(env)
    with pytest.raises(CannotReach, match="Connection refused"):
        run(project, database_url)


@pytest.mark.parametrize("mode", ["ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE"], ids=["before", "in the middle"])
def test_a_record_that_somebody_has_locked_is_not_waited_for(
    project: AlembicProject, database_url: str, mode: str
) -> None:
    """The revision would keep its own locks as long."""
    run(project, database_url)
    project.add("two", 'op.execute("ALTER TABLE users ADD x int")\nop.execute("COMMIT")')
    locked = f"LOCK TABLE evolve.upgrade_statement IN {mode} MODE"
    with holding(database_url, locked), pytest.raises(RecordLocked):
        run(project, database_url)
    assert run(project, database_url).heads == ("two",)


def test_it_runs_a_project_whose_env_opens_its_own_transaction(
    make_project: MakeProject, database_url: str
) -> None:
    env = ENV.replace("with engine.connect() as connection:", "with engine.begin() as connection:")
    project = make_project(database_url, env=env)
    project.add("one", 'op.execute("CREATE TABLE users (id int)")')
    assert run(project, database_url).heads == ("one",)
    assert scalar(database_url, "SELECT to_regclass('users')::text") == "users"


def test_a_broken_revision_is_named_before_anything_runs(project: AlembicProject, database_url: str) -> None:
    (project.versions / "bad.py").write_text("revision = 'bad'\ndown_revision = 'one'\ndef upgrade(:\n")
    with pytest.raises(RevisionBroken, match="SyntaxError") as caught:
        run(project, database_url)
    assert "bad.py" in str(caught.value)
    assert scalar(database_url, "SELECT to_regclass('users')") is None


def test_two_heads_are_told_with_the_way_out(project: AlembicProject, database_url: str) -> None:
    project.add("left", "pass", after="one")
    project.add("right", "pass", after="one")
    with pytest.raises(Misuse, match='cannot go to "head"') as caught:
        run(project, database_url)
    assert "alembic merge heads" in str(caught.value.fix)


def test_the_url_override_reaches_env_py(
    make_project: MakeProject, make_database: Callable[..., str]
) -> None:
    ours = make_database()
    project = make_project(make_database())
    project.add("one", 'op.execute("CREATE TABLE users (id int)")')
    outcome = migrate(
        find_project(project.root),
        ours,
        "head",
        "upgrade",
        limits=LIMITS,
        patience=QUICK,
        observer=Witness(),
        override_url=ours,
    )
    assert outcome.heads == ("one",)
    assert sqlalchemy_url(ours).startswith("postgresql+psycopg://")
    assert scalar(ours, "SELECT to_regclass('users')::text") == "users"
