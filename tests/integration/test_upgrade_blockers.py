"""Sessions that stand in the way of an upgrade: ended where that is allowed, waited for before CONCURRENTLY."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg import conninfo
from support.alembic_project import AlembicProject

from evolve.app.upgrade import Observer, OldTransactions, Outcome, Patience, migrate
from evolve.postgres.allow_list import BadAllowance, read_allowances
from evolve.postgres.blockers import Blocker, end_sessions
from evolve.revisions.project import find_project
from evolve.revisions.run import Limits

ADD = 'op.add_column("users", sa.Column("name", sa.Text))'
BUILD = """
with op.get_context().autocommit_block():
    op.create_index("users_id", "users", ["id"], postgresql_concurrently=True)
"""


@dataclass
class Witness(Observer):
    ended: list[Blocker] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    waiting: threading.Event = field(default_factory=threading.Event)

    def session_ended(self, blocker: Blocker) -> None:
        self.ended.append(blocker)

    def waits(self, reason: str) -> None:
        self.waited.append(reason)
        self.waiting.set()


@pytest.fixture
def project(
    make_project: Callable[..., AlembicProject], database_url: str, role: str
) -> Iterator[AlembicProject]:
    project = make_project(database_url)
    project.add("one", f'op.execute("CREATE TABLE users (id int); GRANT ALL ON users TO {role}")')
    upgrade(project, database_url)
    yield project
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP TABLE users")


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """A role that is no superuser, as those of applications are; its password is its name."""
    name = f"app_{conninfo.conninfo_to_dict(database_url)['dbname']}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        yield name
        connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def upgrade(
    project: AlembicProject,
    url: str,
    *terminate: str,
    budget: float = 10,
    retries: int = 30,
    witness: Observer | None = None,
) -> Outcome:
    return migrate(
        find_project(project.root),
        url,
        "head",
        "upgrade",
        limits=Limits(lock_timeout=300, concurrently_lock_timeout=2_000),
        patience=Patience(wait=5, retries=retries, budget=budget, first_delay=0.05, longest_delay=0.2),
        observer=witness or Observer(),
        terminate=read_allowances(terminate),
    )


@contextmanager
def session(
    url: str, statement: str, application: str = "report-7", role: str = ""
) -> Iterator[psycopg.Connection]:
    """A session that has sent `statement` and not committed."""
    who = {"user": role, "password": role} if role else {}
    with closing(psycopg.connect(url, application_name=application, **who)) as connection:
        connection.execute(statement)
        yield connection


def test_a_session_on_the_list_is_ended_and_told(
    project: AlembicProject, database_url: str, role: str
) -> None:
    project.add("two", ADD)
    witness = Witness()
    with session(database_url, "SELECT * FROM users", role=role):
        outcome = upgrade(project, database_url, f"application=report*,user={role}", witness=witness)
    assert outcome.heads == ("two",)
    (ended,) = witness.ended
    assert (ended.user, ended.application, ended.query) == (role, "report-7", "SELECT * FROM users")
    assert [blocker.ended for blocker in outcome.done[0].blockers] == [True]


@pytest.mark.parametrize(
    "allowed",
    ["application=web*", "user=nobody", "application=report*,older-than=1h", "application=REPORT*", "user=app[_]*"],
)  # fmt: skip
def test_a_session_that_is_not_on_the_list_lives(
    project: AlembicProject, database_url: str, role: str, allowed: str
) -> None:
    with session(database_url, "SELECT * FROM users", role=role) as reader:
        (seen,) = look(database_url, reader, allowed)
    assert (seen.ended, seen.spared) == (False, "")


def test_a_session_that_works_lives_where_only_idle_ones_may_be_ended(
    project: AlembicProject, database_url: str, role: str
) -> None:
    with session(database_url, "SELECT 1", role=role) as reader:
        worker = threading.Thread(target=lambda: reader.execute("SELECT pg_sleep(1)"))
        worker.start()
        until(
            database_url,
            f"SELECT state = 'active' FROM pg_stat_activity WHERE pid = {reader.info.backend_pid}",
        )
        (seen,) = look(database_url, reader, "application=*,state=idle-in-transaction")
        worker.join()
    assert (seen.state, seen.ended) == ("active", False)


def test_a_superuser_lives(project: AlembicProject, database_url: str) -> None:
    with session(database_url, "SELECT * FROM users") as reader:
        (seen,) = look(database_url, reader, "application=*")
    assert (seen.ended, seen.spared) == (False, "it is a superuser's")


def test_a_role_for_replication_lives(project: AlembicProject, database_url: str, role: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {role} REPLICATION")
    with session(database_url, "SELECT * FROM users", role=role) as reader:
        (seen,) = look(database_url, reader, "application=*")
    assert (seen.ended, seen.spared) == (False, "its role is one for replication")


def test_evolve_itself_lives(project: AlembicProject, database_url: str, role: str) -> None:
    with session(database_url, "SELECT * FROM users", "evolve backfill", role) as reader:
        (seen,) = look(database_url, reader, "application=*")
    assert seen.spared == "it is evolve's own"


@pytest.mark.parametrize(
    ("grants", "reason"),
    [
        ("pg_read_all_stats", "GRANT pg_signal_backend"),
        ("pg_signal_backend", "GRANT pg_read_all_stats"),
        ("pg_signal_backend, pg_read_all_stats", ""),
    ],
)
def test_what_a_role_may_not_end_is_told(
    project: AlembicProject, database_url: str, role: str, grants: str, reason: str
) -> None:
    runner = f"{role}_r"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {runner} LOGIN PASSWORD '{runner}'; GRANT {grants} TO {runner}")
    try:
        with session(database_url, "SELECT * FROM users", role=role) as reader:
            (seen,) = look(database_url, reader, "application=report*", role=runner)
        assert (seen.ended, reason in seen.spared) == (not reason, True)
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {runner}")


def look(url: str, blocker: psycopg.Connection, *allowed: str, role: str = "") -> list[Blocker]:
    who = {"user": role, "password": role} if role else {}
    with psycopg.connect(url, autocommit=True, **who) as connection:
        return end_sessions(connection, [blocker.info.backend_pid], read_allowances(allowed))


def until(url: str, query: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(query).fetchone() != (True,):
            pass


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("older-than=30s", "name an application or a user"),
        ("application=", '"application=" is not KEY=VALUE'),
        ("application=x,age=3", '"age" is none of'),
        ("application=x,older-than=30", '"30" is no time'),
        ("application=x,older-than=999999999999h", '"999999999999h" is no time'),
        ("application=x,state=idle", '"idle" is none of any, idle-in-transaction'),
        ("user=a,user=b", '"user" is said twice'),
    ],
)
def test_a_list_that_says_nothing_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadAllowance, match=reason):
        read_allowances([text])


# -- CONCURRENTLY ------------------------------------------------------------------------------------------------


def test_a_build_begins_when_older_snapshots_are_gone(project: AlembicProject, database_url: str) -> None:
    project.add("two", BUILD)
    witness = Witness()
    with session(database_url, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1") as reader:
        threading.Thread(target=lambda: witness.waiting.wait(20) and reader.rollback()).start()
        outcome = upgrade(project, database_url, witness=witness)
    assert outcome.heads == ("two",)
    assert "CREATE INDEX CONCURRENTLY users_id" in witness.waited[0]


@pytest.mark.parametrize(
    ("statement", "waited_for"),
    [
        ("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1", True),
        ("INSERT INTO users VALUES (1)", True),
        ("SELECT * FROM users", False),  # holds a lock that the build does not mind, and no snapshot any more
    ],
    ids=["snapshot", "writer", "reader"],
)
def test_a_build_that_would_wait_too_long_is_not_begun(
    project: AlembicProject, database_url: str, statement: str, waited_for: bool
) -> None:
    project.add("two", BUILD)
    with session(database_url, statement):
        if waited_for:
            with pytest.raises(OldTransactions, match="report-7"):
                upgrade(project, database_url, budget=0.3)
        else:
            assert upgrade(project, database_url, budget=0.3).heads == ("two",)


def test_whom_a_build_waits_for_is_told_once(project: AlembicProject, database_url: str) -> None:
    project.add("two", BUILD)
    witness = Witness()
    with session(database_url, "INSERT INTO users VALUES (1)"), pytest.raises(OldTransactions):
        upgrade(project, database_url, budget=2, witness=witness)
    (told,) = witness.waited
    assert '"report-7", idle in transaction' in told


def test_who_interrupts_a_wait_hears_that(project: AlembicProject, database_url: str) -> None:
    """And nothing of what the autocommit block says when it is left."""
    project.add("two", BUILD)

    class Impatient(Observer):
        def waits(self, reason: str) -> None:
            raise KeyboardInterrupt

    with session(database_url, "INSERT INTO users VALUES (1)"), pytest.raises(KeyboardInterrupt):
        upgrade(project, database_url, witness=Impatient())


def test_an_old_snapshot_on_the_list_is_ended(project: AlembicProject, database_url: str, role: str) -> None:
    project.add("two", BUILD)
    witness = Witness()
    with session(database_url, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1", role=role):
        upgrade(project, database_url, "application=report*", witness=witness)
    assert [blocker.user for blocker in witness.ended] == [role]


def test_a_detachment_waits_for_readers_of_the_parent(project: AlembicProject, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE logs (at int) PARTITION BY LIST (at)")
        connection.execute("CREATE TABLE logs_1 PARTITION OF logs FOR VALUES IN (1)")
    project.add(
        "two",
        """
        with op.get_context().autocommit_block():
            op.execute("ALTER TABLE logs DETACH PARTITION logs_1 CONCURRENTLY")
        """,
    )
    with (
        session(database_url, "SELECT * FROM logs"),
        pytest.raises(OldTransactions, match="DETACH PARTITION logs_1"),
    ):
        upgrade(project, database_url, budget=0.3)
