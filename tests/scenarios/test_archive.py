"""`evolve advance --archive`: purge keeps what it drops, and going back finds it there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.changes import Carried

from evolve.plan.archive import with_archive
from evolve.plan.recipes.columns.drop_column import DropColumn
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

SCHEMA = """
    CREATE TABLE users (id bigint, "Odd ""region'" text, nick text, PRIMARY KEY (id, "Odd ""region'"));
    INSERT INTO users SELECT n, 'r', CASE WHEN n > 2 THEN 'nick ' || n END FROM generate_series(1, 5) n;
"""


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> ChangeProject:
    return ChangeProject(make_project(database_url), database_url, SCHEMA)


def test_a_column(users: ChangeProject) -> None:
    change = "drop_users_nick"
    users.ok("plan", "drop-column", "users.nick", "--write")
    users.ok("advance", change)
    users.ok("advance", change, "--old-code-gone")
    users.ok("upgrade")
    assert users.run("advance", change, "--archive").returncode == 1  # nobody has approved
    users.ok("advance", change, "--purge-approved", "--archive")
    users.ok("upgrade")
    archive = users.sql(
        "SELECT to_jsonb(a) - '_evolve_q_drop_users_nick' FROM evolve.archive_drop_users_nick a ORDER BY id"
    )
    assert archive == [({"id": n, "Odd \"region'": "r"},) for n in (3, 4, 5)]
    users.sql("DELETE FROM users WHERE id = 5")
    users.ok("downgrade", "-2")  # the purge, and what it has kept
    users.ok("upgrade")
    kept = users.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'archive_drop_users_nick%'")
    assert kept == [(2,)]  # the first one still knows row 5
    users.ok("undo", change, "--write")
    users.ok("upgrade")
    assert users.sql("SELECT id, nick FROM users ORDER BY id") == [
        (1, None),
        (2, None),
        (3, "nick 3"),
        (4, "nick 4"),
    ]


def test_rows_that_row_security_hides_are_not_left_out(users: ChangeProject) -> None:
    with psycopg.connect(users.url) as connection:  # rolled back
        plan = with_archive(Carried(connection, DropColumn(QualifiedName("users"), "nick")).plan)
        connection.execute("ALTER TABLE users RENAME nick TO _evolve_q_drop_users_nick")
        connection.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY tenant ON users USING (id > 3)")
        connection.execute("CREATE ROLE forced; GRANT ALL ON SCHEMA evolve TO forced")
        connection.execute("ALTER TABLE users OWNER TO forced; SET ROLE forced")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute(next(iter(plan.phases[-1].parts)).statements[1].sql.encode())
        connection.rollback()


def test_a_table(users: ChangeProject) -> None:
    change = "drop_users"
    users.ok("plan", "drop-table", "users", "--write")
    users.ok("advance", change)
    users.ok("advance", change, "--old-code-gone")
    users.ok("upgrade")
    users.ok("advance", change, "--purge-approved", "--archive")
    users.ok("upgrade")
    assert users.sql("SELECT count(*) FROM evolve.archive_drop_users") == [(5,)]
    users.ok("undo", change, "--write")
    users.ok("upgrade")
    assert users.sql("SELECT count(nick) FROM users") == [(3,)]


def test_too_early(users: ChangeProject) -> None:
    users.ok("plan", "drop-column", "users.nick", "--write")
    refused = users.run("advance", "drop_users_nick", "--archive")
    assert (refused.returncode, "--archive goes with purge" in refused.stderr) == (2, True)


def test_a_table_without_a_key_is_not_archived(users: ChangeProject) -> None:
    users.sql("ALTER TABLE users DROP CONSTRAINT users_pkey")
    change = "drop_users_nick"
    users.ok("plan", "drop-column", "users.nick", "--write")
    users.ok("advance", change)
    users.ok("advance", change, "--old-code-gone")
    users.ok("upgrade")
    users.ok("advance", change, "--purge-approved", "--archive")
    refused = users.run("upgrade")
    assert (refused.returncode, "has no primary key" in refused.stderr) == (1, True)
    assert users.sql("SELECT count(_evolve_q_drop_users_nick) FROM users") == [(3,)]


def test_a_new_database_takes_the_whole_history(
    users: ChangeProject, make_database: Callable[[], str]
) -> None:
    change = "drop_users_nick"
    users.ok("plan", "drop-column", "users.nick", "--write")
    users.ok("advance", change)
    users.ok("advance", change, "--old-code-gone")
    users.ok("upgrade")
    users.ok("advance", change, "--purge-approved", "--archive")
    fresh = make_database()
    ini = users.root / "alembic.ini"
    ini.write_text(ini.read_text().replace(users.url.rpartition("/")[2], fresh.rpartition("/")[2]))
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=users.root, check=True)
    with psycopg.connect(fresh) as connection:
        assert connection.execute("SELECT count(*) FROM evolve.archive_drop_users_nick").fetchone() == (3,)
