"""`evolve lint --verify` as a user calls it: exit status, text, JSON, and where there is no server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject
from support.command_line import evolve

pytestmark = pytest.mark.server

TABLES = """
    op.create_table("users", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
"""
SAFE = 'op.add_column("users", sa.Column("nickname", sa.Text()))'
BROKEN = 'op.execute("ALTER TABLE users ADD COLUMN name text")'

MakeProject = Callable[..., AlembicProject]


@pytest.fixture
def project(make_project: MakeProject) -> AlembicProject:
    made = make_project()
    made.add("0001", TABLES)
    return made


def test_what_agrees_is_said_with_the_server(project: AlembicProject) -> None:
    project.add("0002", SAFE)

    answer = evolve("lint", "0002", "--verify", cwd=project.root)

    assert answer.returncode == 0, answer.stderr
    assert "1 statement verified on PostgreSQL " in answer.stdout
    assert ": no difference" in answer.stdout


def test_verbose_shows_each_statement_with_its_lock(project: AlembicProject) -> None:
    project.add("0002", SAFE)

    answer = evolve("lint", "0002", "--verify", "--verbose", cwd=project.root)

    assert "ALTER TABLE users ADD COLUMN nickname TEXT\n  ACCESS EXCLUSIVE on users; " in answer.stdout


def test_a_difference_fails_the_run_and_names_its_place(project: AlembicProject) -> None:
    project.add("0002", BROKEN)

    answer = evolve("lint", "0002", "--verify", cwd=project.root)

    assert answer.returncode == 1
    assert 'the server refuses it: column "name" of relation "users" already exists' in answer.stdout
    assert "0002" in answer.stdout.split("the server differs")[0]


def test_json_has_what_was_seen(project: AlembicProject) -> None:
    project.add("0002", SAFE)

    answer = evolve("lint", "0002", "--verify", "--format", "json", cwd=project.root)

    (statement,) = json.loads(answer.stdout)["verification"]["statements"]
    assert statement["locks"] == {"users": "ACCESS EXCLUSIVE"}
    assert statement["error"] is None


def test_without_the_option_nothing_is_verified(project: AlembicProject) -> None:
    answer = evolve("lint", "base:heads", "--format", "json", cwd=project.root)

    assert json.loads(answer.stdout)["verification"] is None


def test_files_of_sql_are_verified_too(tmp_path: Path) -> None:
    (tmp_path / "one.sql").write_text("CREATE TABLE a (id bigint);\nALTER TABLE a ADD COLUMN id text;\n")

    answer = evolve("lint", "one.sql", "--verify", cwd=tmp_path)

    assert answer.returncode == 1
    assert 'column "id" of relation "a" already exists' in answer.stdout


def test_the_python_of_a_revision_gets_no_connection_to_the_server(project: AlembicProject) -> None:
    project.add("0002", 'op.get_bind().execute(sa.text("SELECT pg_backend_pid()")).scalar(); ' + SAFE)

    told = json.loads(evolve("lint", "0002", "--verify", "--format", "json", cwd=project.root).stdout)[
        "verification"
    ]

    assert [statement["sql"] for statement in told["statements"]][-1].startswith("ALTER TABLE users")
    assert any("depends on data" in note for note in told["notes"])


def test_where_no_server_can_be_had_the_question_was_wrong(project: AlembicProject) -> None:
    project.add("0002", SAFE)

    answer = evolve("lint", "0002", "--verify", cwd=project.root, env={"EVOLVE_SCRATCH": "local:9"})

    assert (answer.returncode, answer.stdout) == (2, "")
    assert "no scratch PostgreSQL server could be started" in answer.stderr
