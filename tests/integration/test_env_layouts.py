"""`evolve upgrade` through the env.py files that people have: own transactions, locks, async engines, many schemas."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from contextlib import chdir
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from support.alembic_project import AlembicProject

from evolve.cli import evolve as command_line

pytestmark = pytest.mark.server

MakeProject = Callable[..., AlembicProject]

HEAD = """
import sqlalchemy as sa
from alembic import context

config = context.config
URL = config.get_main_option("sqlalchemy.url")
# As Alembic's own template has it; these run in the process of the tests, where a pool would keep its connections open.
ENGINE = sa.create_engine(URL, poolclass=sa.pool.NullPool)
"""
# What each env.py does when it is online.
LAYOUTS = {
    "begins before Alembic": """
with ENGINE.begin() as connection:
    context.configure(connection=connection)
    context.run_migrations()
""",
    "takes a lock of its transaction": """
with ENGINE.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(4711)"))
        context.run_migrations()
""",
    "takes a lock of its session": """
with ENGINE.connect() as connection:
    connection.execute(sa.text("SELECT pg_advisory_lock(4711)"))
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.execute(sa.text("SELECT pg_advisory_unlock(4711)"))
""",
    "psycopg, async": """
import asyncio
from sqlalchemy.ext.asyncio import create_async_engine


def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    engine = create_async_engine(URL)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
""",
    "asyncpg": """
import asyncio
from sqlalchemy.ext.asyncio import create_async_engine


def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    engine = create_async_engine(URL.replace("+psycopg", "+asyncpg"))
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
""",
    "version table in a schema of its own": """
with ENGINE.connect() as connection:
    connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS meta"))
    connection.commit()
    context.configure(connection=connection, version_table_schema="meta", include_schemas=True)
    with context.begin_transaction():
        context.run_migrations()
""",
    "version table that only running tells": """
with ENGINE.connect() as connection:
    context.configure(connection=connection, version_table="v_" + connection.engine.url.database[:3])
    with context.begin_transaction():
        context.run_migrations()
""",
}
TENANTS = """
with ENGINE.connect() as connection:
    for tenant in ("a", "b", "c"):
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS tenant_{tenant}"))
        connection.execute(sa.text(f"SET search_path TO tenant_{tenant}"))
        connection.commit()
        connection.dialect.default_schema_name = f"tenant_{tenant}"
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
"""


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def run(project: AlembicProject, *arguments: str) -> Result:
    """In this process: starting Python takes longer than the upgrade."""
    with chdir(project.root), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the project's own env.py
        return CliRunner(env={"NO_COLOR": "1"}).invoke(command_line, arguments, standalone_mode=False)


def done(project: AlembicProject, *arguments: str) -> list[str]:
    """Ids of the revisions that were run."""
    ended = run(project, *arguments, "--format", "json")
    assert ended.exception is None, ended.exception
    return [each["revision"] for each in json.loads(ended.stdout)["done"]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_goes_up_and_down_under_short_lock_waits(
    make_project: MakeProject, database_url: str, layout: str
) -> None:
    for module in {"asyncpg": ("asyncpg", "greenlet"), "psycopg, async": ("greenlet",)}.get(layout, ()):
        pytest.importorskip(module)
    project = make_project(database_url, env=HEAD + LAYOUTS[layout])
    project.add(
        "one",
        "op.execute(\"CREATE TABLE one AS SELECT current_setting('lock_timeout') AS waits\")",
        'op.drop_table("one")',
    )
    project.add("two", 'op.execute("CREATE TABLE two (id int)")', 'op.drop_table("two")')
    assert done(project, "upgrade") == ["one", "two"]
    assert rows(database_url, "SELECT waits FROM one") == [("500ms",)]
    assert done(project, "downgrade", "one") == ["two"]
    assert done(project, "upgrade") == ["two"]
    assert done(project, "upgrade") == []


def test_a_loop_over_tenants_brings_each_of_them_there(make_project: MakeProject, database_url: str) -> None:
    project = make_project(database_url, env=HEAD + TENANTS)
    project.add("one", 'op.execute("CREATE TABLE things (id int)")', 'op.execute("DROP TABLE things")')
    assert done(project, "upgrade") == ["one"]
    project.add(
        "two", 'op.execute("ALTER TABLE things ADD name text")', 'op.execute("ALTER TABLE things DROP name")'
    )
    # One of them is behind, as a tenant is that came to be while nobody looked.
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP SCHEMA tenant_b CASCADE")
    assert done(project, "upgrade") == ["one", "two"]
    columns = rows(
        database_url,
        "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'name'"
        " AND attrelid::regclass::text LIKE 'tenant%' ORDER BY 1",
    )
    assert columns == [("tenant_a.things",), ("tenant_b.things",), ("tenant_c.things",)]
    assert done(project, "downgrade", "-1") == ["two"]


def test_tenants_that_are_not_at_the_same_revision_go_no_number_of_steps(
    make_project: MakeProject, database_url: str
) -> None:
    project = make_project(database_url, env=HEAD + TENANTS)
    project.add("one", 'op.execute("CREATE TABLE things (id int)")')
    assert done(project, "upgrade") == ["one"]
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM tenant_b.alembic_version")
    assert "not at the same one: base; one" in str(run(project, "downgrade", "-1").exception)
