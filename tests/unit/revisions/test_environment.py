"""What is read from env.py without running it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import alembic
import pytest

from evolve.revisions.environment import Environment, read_environment


def _read(tmp_path: Path, text: str, **options: str) -> Environment:
    file = tmp_path / "env.py"
    file.write_text(textwrap.dedent(text))
    return read_environment(file, options)


def test_a_silent_env_leaves_the_defaults_of_alembic(tmp_path: Path) -> None:
    assert _read(tmp_path, "context.configure(connection=connection)") == Environment()


def test_literals_are_read(tmp_path: Path) -> None:
    read = _read(
        tmp_path,
        """
        context.configure(connection=connection, transaction_per_migration=True, include_schemas=True,
                          version_table="versions", version_table_schema="meta", transactional_ddl=False)
        """,
    )

    assert read == Environment(
        transaction_per_migration=True,
        transactional_ddl=False,
        include_schemas=True,
        version_table="versions",
        version_table_schema="meta",
    )


def test_the_call_for_a_live_connection_counts(tmp_path: Path) -> None:
    read = _read(
        tmp_path,
        """
        def run_migrations_offline():
            context.configure(url=url, literal_binds=True, transaction_per_migration=True)

        def run_migrations_online():
            context.configure(connection=connection)
        """,
    )

    assert read.transaction_per_migration is False


def test_constants_and_spread_options_are_followed(tmp_path: Path) -> None:
    read = _read(
        tmp_path,
        """
        SCHEMA = "meta"
        options = {"transaction_per_migration": True, "version_table_schema": SCHEMA}
        context.configure(connection=connection, **options)
        """,
    )

    assert (read.transaction_per_migration, read.version_table_schema, read.unread) == (True, "meta", ())


@pytest.mark.parametrize(
    ("call", "table"),
    [
        ('config.get_main_option("version_table")', "from_ini"),
        ('config.get_alembic_option("no_such", "fallback")', "fallback"),
        ('config.get_main_option("no_such", default="fallback")', "fallback"),
    ],
)
def test_options_of_the_ini_are_followed(tmp_path: Path, call: str, table: str) -> None:
    read = _read(tmp_path, f"context.configure(connection=c, version_table={call})", version_table="from_ini")

    assert read.version_table == table


@pytest.mark.parametrize("value", ['os.environ["TABLE"]', "table if x else y", "settings.table"])
def test_what_only_running_would_tell_is_said(tmp_path: Path, value: str) -> None:
    read = _read(tmp_path, f"context.configure(connection=c, version_table={value})")

    assert (read.version_table, read.unread) == ("alembic_version", ("version_table",))


def test_two_answers_are_no_answer(tmp_path: Path) -> None:
    read = _read(
        tmp_path,
        """
        if production:
            context.configure(connection=c, transaction_per_migration=True)
        else:
            context.configure(connection=c, transaction_per_migration=False)
        """,
    )

    assert read.unread == ("transaction_per_migration",)


def test_an_env_that_does_not_parse_is_said(tmp_path: Path) -> None:
    assert _read(tmp_path, "def broken(").unread == ("env.py",)


def test_a_missing_env_is_said(tmp_path: Path) -> None:
    assert read_environment(tmp_path / "env.py", {}).unread == ("env.py",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "def run():\n    with engine.begin() as connection:\n        context.configure(connection=connection)",
            2,
        ),
        ("def run():\n    with connection.begin():\n        context.run_migrations()", 2),
        (
            "def do(connection):\n    context.configure(connection=connection)\n"
            "async def run():\n    async with engine.begin() as connection:\n        await connection.run_sync(do)",
            4,
        ),
        (
            "def run():\n    with engine.connect() as connection:\n        connection.execute(text('SET x = 1'))\n"
            "        context.configure(connection=connection)",
            3,
        ),
        (
            "def run():\n    with engine.connect() as connection:\n        connection.execute(text('SET x = 1'))\n"
            "        connection.commit()\n        context.configure(connection=connection)",
            None,
        ),
        (
            "def run():\n    with engine.connect() as connection:\n        context.configure(connection=connection)\n"
            "        with context.begin_transaction():\n            context.run_migrations()",
            None,
        ),
        ("def seed():\n    with engine.begin() as connection:\n        connection.execute(x)", None),
    ],
)
def test_a_transaction_opened_before_alembic_is_seen(tmp_path: Path, text: str, line: int | None) -> None:
    assert _read(tmp_path, text).outer_transaction == line


def test_the_template_for_several_databases_begins_before_alembic() -> None:
    template = Path(alembic.__file__).parent / "templates" / "multidb" / "env.py"

    line = read_environment(template, {}).outer_transaction

    assert line is not None
    assert "conn.begin" in template.read_text().splitlines()[line - 1]


@pytest.mark.parametrize(
    "body",
    [
        "transaction = connection.begin()\n    transaction.commit()\n    context.configure(connection=connection)",
        "context.configure(connection=connection)\n    transaction = connection.begin()",
        "with other.begin() as locked:\n        pass\n    context.configure(connection=connection)",
    ],
)
def test_a_transaction_that_is_not_open_when_alembic_is_configured(tmp_path: Path, body: str) -> None:
    assert (
        _read(tmp_path, f"def run():\n    {body}\n    context.run_migrations()\n").outer_transaction is None
    )
