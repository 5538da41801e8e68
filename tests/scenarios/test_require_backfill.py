"""`op.require_backfill` stops Alembic, a script and `evolve upgrade` until the backfill is done and verified."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from support.alembic_project import AlembicProject
from support.backfill import Quiet, fill, spec
from support.command_line import evolve

from evolve.app.backfill_work import Pace
from evolve.app.forget_backfill import forget_backfill
from evolve.app.pause_backfill import cancel_backfill
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.dependencies import unsettled
from evolve.plan.gate_sql import SHUT
from evolve.plan.require_sql import require_block
from evolve.postgres import journal
from evolve.postgres.connect import connect

pytestmark = pytest.mark.server

NAME = "users.label"
FILL = spec("users", "label", "upper(name)", where="label IS NULL")


@pytest.fixture
def users(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id int PRIMARY KEY, name text, label text)")
        connection.execute("INSERT INTO users SELECT g, 'n', NULL FROM generate_series(1, 300) g")
    return database_url


def refused(url: str, block: str) -> tuple[str, str] | None:
    """Message and hint of a gate that is shut."""
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            connection.execute(block.encode())
        except psycopg.Error as error:
            if error.sqlstate != SHUT:
                raise
            return str(error.diag.message_primary), str(error.diag.message_hint)
    return None


def expected(url: str) -> tuple[str, str] | None:
    with connect(url) as connection:
        why = unsettled(NAME, journal.latest_run(connection, NAME))
    return None if why is None else (why.reason.rpartition(" ")[2], why.command)


def test_it_says_what_a_dependency_says_in_every_state(users: str) -> None:
    def agree() -> str:
        said, wanted = refused(users, require_block(NAME)), expected(users)
        if said is None or wanted is None:
            assert said is wanted
            return "settled"
        assert f"run: {wanted[1]};" in said[1]
        return said[0].partition("here: ")[2]

    seen = [agree()]
    stopping = Quiet()
    stopping.stop_when = lambda: stopping.batches > 0
    fill(users, FILL, stopping, pace=Pace(largest=50))
    seen.append(agree())
    with psycopg.connect(users, autocommit=True) as connection:
        for state in ("fencing", "running", "verifying", "failed", "cancelled", "undoing", "undone"):
            connection.execute("UPDATE evolve.backfill_run SET state = %s", (state,))
            seen.append(agree())
        connection.execute("DELETE FROM evolve.backfill_range")
        connection.execute("UPDATE evolve.backfill_run SET state = 'done'")
    seen.append(agree())
    with psycopg.connect(users, autocommit=True) as connection:
        connection.execute("UPDATE users SET label = NULL")
    fill(users, FILL, restart=True)
    seen.append(agree())
    assert seen == [
        "it has never run here",
        *(f"it is {state}" for state in ("paused", "fencing", "running", "verifying", "failed")),
        *(f"it is {state}" for state in ("cancelled", "undoing", "undone")),
        "it has not been verified",
        "settled",
    ]


def test_no_hint_leads_to_a_restart_that_writes_rows_twice(users: str) -> None:
    stopping = Quiet()
    stopping.stop_when = lambda: stopping.batches > 0
    fill(users, spec("users", "label", "label || 'x'"), stopping, pace=Pace(largest=50))
    cancel_backfill(users, NAME)

    def hint() -> str:
        said, wanted = refused(users, require_block(NAME)), expected(users)
        assert said is not None
        assert wanted is not None
        assert f"run: {wanted[1]};" in said[1]
        return wanted[1]

    hints = [hint()]
    undo_backfill(users, NAME, pace=Pace(), stop=Quiet(), watch=Quiet())
    hints.append(hint())
    forget_backfill(users, NAME, force=True, dry_run=False)
    with psycopg.connect(users, autocommit=True) as connection:
        connection.execute("UPDATE evolve.backfill_run SET state = 'cancelled'")
    hints.append(hint())
    assert hints == [
        f"evolve backfill {what}" for what in (f"undo {NAME}", f"run {NAME} --restart", f"status {NAME}")
    ]


def test_rows_that_were_missed_are_counted(users: str) -> None:
    with psycopg.connect(users, autocommit=True) as connection:
        connection.execute("UPDATE users SET name = NULL WHERE id < 4")
    fill(users, FILL)
    said = refused(users, require_block(NAME))
    assert said is not None
    assert "its verification found wrong: 3" in said[0]


def test_rows_that_could_not_be_written_are_counted(users: str) -> None:
    with psycopg.connect(users, autocommit=True) as connection:
        connection.execute("ALTER TABLE users ADD CHECK (label <> 'N' OR id > 2)")
    fill(users, FILL)
    said, wanted = refused(users, require_block(NAME)), expected(users)
    assert said is not None
    assert wanted is not None
    assert "rows that it could not write: 2" in said[0]
    assert f"run: {wanted[1]};" in said[1]


def test_what_cannot_be_verified_need_not_be(users: str) -> None:
    fill(users, spec("users", "label", "label || 'x'"))
    assert refused(users, require_block(NAME)) is None


def test_a_new_database_takes_the_whole_history(users: str) -> None:
    rows = "users WHERE label IS NULL -- to fill"
    assert refused(users, require_block(NAME, rows)) is not None
    with psycopg.connect(users, autocommit=True) as connection:
        connection.execute("TRUNCATE users")
    assert refused(users, require_block(NAME, rows)) is None


def test_names_that_mean_ill_stay_names(users: str) -> None:
    said = refused(users, require_block("it's $evolve$ % :x"))
    assert said is not None
    assert "it's $evolve$ % :x" in said[0]


def test_alembic_a_script_and_evolve_stop_at_it(
    users: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = AlembicProject(tmp_path / "app", users)
    project.add("0001", "pass")
    project.add(
        "0002", 'op.require_backfill("users.label", rows="users WHERE label IS NULL")\nop.execute("SELECT 1")'
    )
    monkeypatch.chdir(project.root)
    config = Config("alembic.ini")
    with pytest.raises(Exception, match="required here: it has never run here"):
        command.upgrade(config, "head")
    upgraded = evolve("upgrade", cwd=project.root)
    assert upgraded.returncode == 1
    assert "fix: run: evolve backfill run users.label; then see" in upgraded.stderr
    script = evolve("upgrade", "--sql", "0001:0002", cwd=project.root)
    assert script.returncode == 0, script.stderr
    assert "required here" in script.stdout
    fill(users, FILL)
    command.upgrade(config, "head")
    assert evolve("lint", "0002", cwd=project.root).returncode == 0
