"""Policies of models: what `info` says counts with --models, and never against the settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.alembic_project import AlembicProject
from support.command_line import evolve
from support.orders import execute

pytestmark = pytest.mark.server

_MODELS = """
import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("orders", metadata, sa.Column("at", sa.Date), info={"evolve": {"partition": {
    "method": "range", "key": "at", "interval": "1 month", "retention": {"keep": "2 months", "grace": "1 day"}}}})
"""
_ENV = """
from alembic import context
import sys, pathlib
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from models import metadata
context.configure(url="postgresql://", target_metadata=metadata, literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""


@pytest.fixture
def project(make_project: Callable[..., AlembicProject], database_url: str) -> AlembicProject:
    made = make_project(database_url)
    execute(database_url, "CREATE TABLE orders (at date) PARTITION BY RANGE (at)")
    (made.root / "models.py").write_text(_MODELS, encoding="utf-8")
    env = next(made.root.rglob("env.py"))
    env.write_text(_ENV, encoding="utf-8")
    return made


def test_what_a_model_says_is_enough(project: AlembicProject) -> None:
    done = evolve("partition", "premake", "--models", cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("orders: made orders_p")


def test_without_models_nothing_is_known(project: AlembicProject) -> None:
    done = evolve("partition", "premake", cwd=project.root)
    assert (done.returncode, done.stdout) == (2, "")


def test_settings_that_say_something_else_are_refused(project: AlembicProject) -> None:
    with (project.root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('\n[tool.evolve.partition.orders]\nmethod = "range"\nkey = "at"\ninterval = "1 week"\n')
    done = evolve("partition", "check", "--models", cwd=project.root)
    assert done.returncode == 1
    assert "differ in interval, retention" in done.stderr
