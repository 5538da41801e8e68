"""Projects whose env.py runs each revision for many tenants, and the changes that they are refused."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from support.alembic_project import ENV, AlembicProject

from evolve.app.advance_change import advance
from evolve.app.plan_change import plan_change, write_plan
from evolve.app.several_places import SeveralPlaces
from evolve.plan.recipes.columns.set_not_null import SetNotNull
from evolve.revisions.project import find_project
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

TENANTS = """
import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=sa.pool.NullPool)


def migrate(connection, tenant):
    connection.execute(sa.text(f"SET search_path TO {tenant}"))
    connection.commit()
    connection.dialect.default_schema_name = tenant
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


with engine.connect() as connection:
    for tenant in ("a", "b"):
        migrate(connection, tenant)
"""
PATIENT = ENV.replace("else:\n    run()", "else:\n    for _ in range(3):\n        run()\n        break")
CHANGE = SetNotNull(QualifiedName("users"), "name", fill="''")


@pytest.fixture
def tables(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for schema in ("public", "a", "b"):
            connection.execute(
                f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {schema}.users (id int PRIMARY KEY, name text)"
            )


@pytest.mark.usefixtures("tables")
def test_a_change_for_tenants_is_refused(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    project = find_project(make_project(database_url, env=TENANTS).root)
    with pytest.raises(SeveralPlaces, match=r"runs each revision in 2 places \(line 18"):
        plan_change(project, CHANGE, database_url)


@pytest.mark.usefixtures("tables")
def test_a_loop_that_only_tries_again_is_none_of_tenants(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    made = make_project(database_url, env=PATIENT)
    write_plan(find_project(made.root), plan_change(find_project(made.root), CHANGE, database_url))
    (made.root / "migrations" / "env.py").write_text(TENANTS)
    with pytest.raises(SeveralPlaces):
        advance(find_project(made.root), database_url, CHANGE.id)
