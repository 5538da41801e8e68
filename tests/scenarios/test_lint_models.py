"""`evolve lint` beside the application's models: what a branch does to the release that runs, and in which order."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from support.alembic_project import AlembicProject
from support.command_line import evolve
from support.git import git

MakeProject = Callable[..., AlembicProject]

ENVIRONMENT = """
from alembic import context
from shop.models import Base

target_metadata = Base.metadata
"""
MODELS = """
from sqlalchemy import Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None] = mapped_column(Text)
"""
WITHOUT_NOTE = MODELS.replace("    note: Mapped[str | None] = mapped_column(Text)\n", "")
WITH_MEMO = MODELS + "    memo: Mapped[str | None] = mapped_column(Text)\n"
TABLES = """
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("note", sa.Text()),
        sa.Column("legacy", sa.Text()),
    )
"""
DROP_NOTE = 'op.drop_column("orders", "note")'
DROP_LEGACY = 'op.drop_column("orders", "legacy")'
ADD_MEMO = 'op.add_column("orders", sa.Column("memo", sa.Text()))'


@pytest.fixture
def project(make_project: MakeProject) -> AlembicProject:
    """A repository whose branch "work" has just left main; its models map orders.note and not orders.legacy."""
    made = make_project()
    made.add("0001", TABLES)
    (made.root / "migrations/env.py").write_text(ENVIRONMENT)
    (made.root / "shop").mkdir()
    (made.root / "shop/__init__.py").write_text("")
    write_models(made, MODELS)
    git(made.root, "init", "-q", "-b", "main")
    commit_all(made)
    git(made.root, "checkout", "-q", "-b", "work")
    return made


def write_models(project: AlembicProject, source: str) -> None:
    (project.root / "shop/models.py").write_text(source + 'raise RuntimeError("it was run")\n')


def commit_all(project: AlembicProject) -> None:
    git(project.root, "add", ".")
    git(project.root, "commit", "-q", "-m", "as it is")


def lint(project: AlembicProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    return evolve("lint", "--format", "json", *arguments, cwd=project.root)


def report(answer: subprocess.CompletedProcess[str]) -> tuple[list[str], str, str]:
    """Names of the findings, the level, and the order of deployment."""
    document: dict[str, Any] = json.loads(answer.stdout)
    verdict = document["compatibility"]["range"]
    return [finding["name"] for finding in document["findings"]], verdict["level"], verdict["order"]


def test_a_column_that_the_running_release_does_not_map_only_takes_its_data_along(
    project: AlembicProject,
) -> None:
    project.add("0002", DROP_LEGACY)

    answer = lint(project)

    assert (report(answer), answer.returncode) == ((["drop-column"], "FULL", "any order"), 0)


def test_a_column_that_leaves_models_and_database_at_once(project: AlembicProject) -> None:
    write_models(project, WITHOUT_NOTE)
    project.add("0002", DROP_NOTE)

    answer = lint(project)

    assert (report(answer), answer.returncode) == (
        (["code-and-migration-same-change"], "FORWARD", "deploy, then migrate"),
        1,
    )


def test_a_column_that_left_the_models_one_release_ago(project: AlembicProject) -> None:
    write_models(project, WITHOUT_NOTE)
    commit_all(project)
    git(project.root, "branch", "-f", "main", "work")
    project.add("0002", DROP_NOTE)

    assert report(lint(project))[1] == "FULL"


def test_a_column_that_models_go_on_mapping(project: AlembicProject) -> None:
    project.add("0002", DROP_NOTE)

    assert report(lint(project))[0] == ["drop-column-still-mapped"]


@pytest.mark.parametrize(
    ("models", "verdict"),
    [(WITH_MEMO, ("BACKWARD", "migrate, then deploy")), (MODELS, ("FULL", "any order"))],
)
def test_a_new_column_demands_an_order_where_the_models_map_it(
    project: AlembicProject, models: str, verdict: tuple[str, str]
) -> None:
    write_models(project, models)
    project.add("0002", ADD_MEMO)

    assert report(lint(project))[1:] == verdict


def test_a_named_release_is_the_one_that_runs(project: AlembicProject) -> None:
    git(project.root, "tag", "v1")
    write_models(project, WITHOUT_NOTE)
    commit_all(project)
    git(project.root, "branch", "-f", "main", "work")
    project.add("0002", DROP_NOTE)

    assert report(lint(project, "--old-models", "v1"))[0] == ["code-and-migration-same-change"]


def test_models_that_are_no_python_are_named_with_their_line(project: AlembicProject) -> None:
    write_models(project, MODELS + "\n\nclass Broken(:\n    pass\n")
    project.add("0002", 'op.drop_column("orders", "note")')

    answer = evolve("lint", cwd=project.root)

    line = len(MODELS.splitlines()) + 3
    assert f"models not read: shop/models.py:{line}: it is no Python that can be read" in answer.stdout


def test_a_base_of_models_that_is_no_python_is_named(project: AlembicProject) -> None:
    (project.root / "shop/base.py").write_text("class Base(:\n")
    own = MODELS.replace("class Base(DeclarativeBase):\n    pass\n", "")
    write_models(project, f"from shop.base import Base\n{own}")
    project.add("0002", 'op.drop_column("orders", "note")')

    answer = evolve("lint", cwd=project.root)

    assert "models not read: shop/base.py:1: it is no Python" in answer.stdout


def test_models_that_were_no_python_are_told_of_with_their_commit(project: AlembicProject) -> None:
    write_models(project, "class Broken(:\n    pass\n# mapped_column\n")
    commit_all(project)
    git(project.root, "branch", "-f", "main")
    write_models(project, MODELS)
    project.add("0002", 'op.drop_column("orders", "note")')

    answer = evolve("lint", cwd=project.root)

    assert re.search(r"models not read: shop/models.py:1: .*, at [0-9a-f]{9} of main", answer.stdout)


def test_a_named_release_that_is_not_there(project: AlembicProject) -> None:
    project.add("0002", DROP_NOTE)

    answer = lint(project, "--old-models", "v9")

    assert (answer.returncode, 'git knows no commit "v9"' in answer.stderr) == (2, True)


def test_a_revision_that_the_old_models_know_is_not_held_against_them(project: AlembicProject) -> None:
    """Its release is older than that commit, and what that one mapped is not known."""
    write_models(project, WITHOUT_NOTE)
    project.add("0002", DROP_NOTE)
    commit_all(project)
    git(project.root, "branch", "-f", "main", "work")

    assert report(lint(project, "0002"))[0] == ["drop-column"]


def test_models_are_found_where_the_settings_say(project: AlembicProject) -> None:
    (project.root / "migrations/env.py").write_text("from alembic import context\n")
    (project.root / "evolve.toml").write_text('[lint]\nmodels = ["shop/*.py"]\n')
    project.add("0002", DROP_LEGACY)

    assert report(lint(project))[1] == "FULL"


def test_without_models_all_code_may_use_all_columns(project: AlembicProject) -> None:
    (project.root / "migrations/env.py").write_text("from alembic import context\n")
    commit_all(project)
    git(project.root, "branch", "-f", "main", "work")
    project.add("0002", DROP_LEGACY)

    answer = evolve("lint", "-v", cwd=project.root)

    assert ("models not found" in answer.stdout, "FORWARD" in answer.stdout) == (True, True)


@pytest.mark.parametrize(("required", "status"), [("BACKWARD", 0), ("FORWARD", 1), ("FULL", 1)])
def test_required_compatibility(project: AlembicProject, required: str, status: int) -> None:
    write_models(project, WITH_MEMO)
    project.add("0002", ADD_MEMO)

    assert lint(project, "--require", required).returncode == status


def test_an_allowed_break_is_a_break(project: AlembicProject) -> None:
    project.add("0002", f"# evolve: allow[drop-column-still-mapped] because we stop for it\n    {DROP_NOTE}")

    assert [lint(project).returncode, lint(project, "--require", "BACKWARD").returncode] == [0, 1]


def test_required_in_the_settings(project: AlembicProject) -> None:
    (project.root / "evolve.toml").write_text('[lint]\nrequire = "FULL"\n')
    write_models(project, WITH_MEMO)
    project.add("0002", ADD_MEMO)

    answer = lint(project)

    assert (answer.returncode, "FULL is required" in answer.stderr) == (1, True)


def test_a_window_reaches_back_to_older_releases(project: AlembicProject) -> None:
    """The running release no longer maps the column; one from before the window may."""
    project.add("0002", DROP_LEGACY)

    document = json.loads(lint(project, "--window", "2").stdout)["compatibility"]

    assert (document["range"]["level"], document["window"]["level"], document["window"]["revisions"]) == (
        "FULL",
        "NONE",
        ["0001", "0002"],
    )


def test_a_table_that_leaves_models_and_database_at_once(project: AlembicProject) -> None:
    other = MODELS.replace("class Order", "class Item").replace('"orders"', '"items"')
    write_models(project, other)
    project.add("0002", 'op.drop_table("orders")')

    message = json.loads(lint(project).stdout)["findings"][0]["message"]

    assert message.startswith(
        'the table "orders" is dropped by the change that takes Order out of the models; '
    )
