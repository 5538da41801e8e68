"""In which transaction each statement would run; integration/test_capture_against_server.py holds it against one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.revision_files import Revisions, marks, sql_of, transactions

from evolve.revisions.capture import account_of
from evolve.revisions.recording_dbapi import Account, Recorder, RecordingConnection
from evolve.sql.steps import CapturedStatement, Mark

DROP = "op.execute('DROP TABLE t')\n"
BLOCK = "with op.get_context().autocommit_block():\n    op.execute('VACUUM')\n"


def _captured(tmp_path: Path, *upgrades: str, settings: str = "", **options: str) -> list[CapturedStatement]:
    revisions = Revisions(tmp_path / "p", settings=settings, **options)
    for number, upgrade in enumerate(upgrades):
        revisions.add(f"r{number}", upgrade)
    return [statement for recording in revisions.capture() for statement in recording.statements]


def test_alembic_runs_all_revisions_in_one_transaction(tmp_path: Path) -> None:
    assert transactions(_captured(tmp_path, DROP, DROP + DROP)) == [1, 1, 1]


def test_or_each_in_its_own(tmp_path: Path) -> None:
    statements = _captured(tmp_path, DROP, "pass", DROP + DROP, settings="transaction_per_migration=True")

    assert transactions(statements) == [1, 2, 2]


def test_an_autocommit_block_ends_the_transaction(tmp_path: Path) -> None:
    assert transactions(_captured(tmp_path, DROP, DROP + BLOCK + DROP, DROP)) == [1, 1, None, 2, 2]


def test_an_autocommit_block_in_a_transaction_of_its_own(tmp_path: Path) -> None:
    statements = _captured(tmp_path, DROP + BLOCK + DROP, DROP, settings="transaction_per_migration=True")

    assert transactions(statements) == [1, None, 2, 3]


@pytest.mark.parametrize(
    "upgrade",
    [
        DROP + "op.get_bind().commit()\n" + DROP,
        DROP + "op.get_bind().rollback()\n" + DROP,
        DROP + "op.get_bind().get_transaction().commit()\n" + DROP,
    ],
)
def test_a_commit_of_the_connection_begins_another(tmp_path: Path, upgrade: str) -> None:
    assert transactions(_captured(tmp_path, upgrade, DROP)) == [1, 2, 2]


def test_a_connection_switched_to_autocommit(tmp_path: Path) -> None:
    upgrade = (
        DROP + "c = op.get_bind()\nc.commit()\nc.execution_options(isolation_level='AUTOCOMMIT')\n" + DROP
    )

    assert transactions(_captured(tmp_path, upgrade)) == [1, None]


def test_a_connection_switched_inside_its_transaction_leaves_it_as_with_1_x(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "p")

    recording = revisions.capture_one(
        "op.get_bind().execution_options(isolation_level='AUTOCOMMIT')\n" + DROP
    )

    assert marks(recording) == {Mark.UNKNOWN_OPERATION}  # SQLAlchemy 2 refuses it
    assert transactions(recording.statements) == [None]


def test_a_second_connection_has_transactions_of_its_own(tmp_path: Path) -> None:
    upgrade = (
        DROP + "with op.get_bind().engine.begin() as c:\n    c.execute(sa.text('DROP TABLE u'))\n" + DROP
    )

    assert transactions(_captured(tmp_path, upgrade)) == [1, 2, 1]


def test_a_second_connection_in_autocommit(tmp_path: Path) -> None:
    upgrade = (
        "e = op.get_bind().engine.execution_options(isolation_level='AUTOCOMMIT')\n"
        "with e.connect() as c:\n    c.execute(sa.text('VACUUM'))\n"
    )

    assert transactions(_captured(tmp_path, DROP + upgrade + DROP)) == [1, None, 1]


def test_savepoints_stay_inside(tmp_path: Path) -> None:
    statements = _captured(tmp_path, DROP + "with op.get_bind().begin_nested():\n    " + DROP + DROP)

    assert [statement.sql.split()[0] for statement in statements] == [
        "DROP",
        "SAVEPOINT",
        "DROP",
        "RELEASE",
        "DROP",
    ]
    assert transactions(statements) == [1, 1, 1, 1, 1]


def test_a_nested_begin_joins_as_it_did_in_sqlalchemy_1(tmp_path: Path) -> None:
    assert transactions(_captured(tmp_path, DROP + "with op.get_bind().begin():\n    " + DROP + DROP)) == [
        1,
        1,
        1,
    ]


def test_a_session_joins_the_transaction(tmp_path: Path) -> None:
    upgrade = (
        DROP + "from sqlalchemy.orm import Session\nwith Session(op.get_bind()) as s:\n"
        "    s.execute(sa.text('DROP TABLE u'))\n    s.commit()\n" + DROP
    )

    assert transactions(_captured(tmp_path, upgrade)) == [1, 1, 1]


def test_a_commit_written_as_text_under_psycopg(tmp_path: Path) -> None:
    upgrade = DROP + "op.execute('COMMIT')\n" + DROP
    ini = "sqlalchemy.url = postgresql+psycopg://h/d\n"

    assert transactions(_captured(tmp_path, upgrade, DROP, ini=ini)) == [1, 1, 2, 2]


def test_a_commit_written_as_text_under_psycopg2(tmp_path: Path) -> None:
    upgrade = DROP + "op.execute('COMMIT')\n" + DROP
    ini = "sqlalchemy.url = postgresql+psycopg2://h/d\n"

    statements = _captured(tmp_path, upgrade, DROP, settings="transaction_per_migration=True", ini=ini)

    assert transactions(statements) == [1, 1, None, 2]


def test_a_begin_written_as_text_under_psycopg2(tmp_path: Path) -> None:
    upgrade = (
        "op.execute('COMMIT')\n" + DROP + "op.execute('BEGIN')\n" + DROP + "op.execute('COMMIT')\n" + DROP
    )
    ini = "sqlalchemy.url = postgresql+psycopg2://h/d\n"

    assert transactions(_captured(tmp_path, upgrade, ini=ini)) == [1, None, 2, 2, 2, None]


def test_a_text_of_several_statements_that_commits_itself(tmp_path: Path) -> None:
    statements = _captured(
        tmp_path, DROP + "op.execute('DROP TABLE u; COMMIT; DROP TABLE v; BEGIN; DROP TABLE w')\n" + DROP
    )

    assert [statement.sql for statement in statements[1:6]] == [
        "DROP TABLE u",
        "COMMIT",
        "DROP TABLE v",
        "BEGIN",
        "DROP TABLE w",
    ]
    assert transactions(statements) == [1, 1, 1, 2, 2, 2, 2]


def test_a_body_with_begin_and_commit_is_no_transaction_control(tmp_path: Path) -> None:
    statements = _captured(tmp_path, 'op.execute("DO $$ BEGIN COMMIT; END $$; DROP TABLE u")\n')

    assert transactions(statements) == [1]


def test_a_text_of_several_statements_is_one_transaction_even_in_autocommit(tmp_path: Path) -> None:
    upgrade = BLOCK.replace("    op", "    op.execute('DROP TABLE a; DROP TABLE b')\n    op")

    assert transactions(_captured(tmp_path, upgrade)) == [1, None]


def test_without_transactional_ddl_each_revision_has_its_own(tmp_path: Path) -> None:
    assert transactions(_captured(tmp_path, DROP, DROP, settings="transactional_ddl=False")) == [1, 2]


def test_an_error_does_not_break_up_the_transaction_of_all(tmp_path: Path) -> None:
    assert transactions(_captured(tmp_path, DROP + "raise KeyError\n", DROP, DROP)) == [1, 1, 1]


def test_an_error_in_an_autocommit_block(tmp_path: Path) -> None:
    upgrade = (
        DROP + "with op.get_context().autocommit_block():\n    op.execute('VACUUM')\n    raise KeyError\n"
    )

    assert transactions(_captured(tmp_path, upgrade, DROP)) == [1, None, 2]


def test_where_env_py_opens_the_transaction_it_holds_everything(tmp_path: Path) -> None:
    env = (
        "with engine.begin() as connection:\n"
        "    context.configure(connection=connection, transaction_per_migration=True)\n"
        "    context.run_migrations()\n"
    )
    revisions = Revisions(tmp_path / "p", env=env)
    revisions.add("a", DROP + BLOCK + DROP)
    revisions.add("b", DROP)

    first, second = revisions.capture()

    assert transactions((*first.statements, *second.statements)) == [1, None, 1, 1]
    assert [remark.mark for remark in first.remarks] == [Mark.OUTER_TRANSACTION]
    assert "line 1" in first.remarks[0].detail


def test_transactions_without_statements_have_no_number(tmp_path: Path) -> None:
    upgrade = "op.get_bind().commit()\nop.get_bind().begin()\nop.get_bind().commit()\n" + DROP

    assert transactions(_captured(tmp_path, upgrade)) == [1]


@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("postgresql+psycopg2://h/d", Account.OWN),
        ("postgresql+asyncpg://h/d", Account.OWN),
        ("postgresql+psycopg://h/d", Account.SERVER),
        ("postgresql+psycopg_async://h/d", Account.SERVER),
        ("postgresql+pg8000://h/d", Account.SERVER),
    ],
)
def test_drivers_keep_account_in_two_ways(url: str, account: Account) -> None:
    assert account_of(url) is account


def test_autocommit_cannot_change_inside_a_transaction(tmp_path: Path) -> None:
    connection = RecordingConnection(Recorder(), Account.SERVER)
    connection.send("DROP TABLE t")

    with pytest.raises(Exception, match="autocommit"):
        connection.autocommit = True


def test_the_statements_are_those_of_the_text(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "p")

    assert sql_of(revisions.capture_one("op.execute('DROP TABLE a;\\n DROP TABLE b;')")) == [
        "DROP TABLE a; DROP TABLE b;"
    ]
