"""`evolve upgrade --dry-run --on-copy`: pending revisions run on a scratch copy, and nothing on the database itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.command_line import evolve

from evolve.app.dry_run import CannotCopy, dry_run
from evolve.postgres import schema_copy
from evolve.revisions.project import find_project


@pytest.fixture
def project(make_project: Callable[..., AlembicProject], database_url: str) -> AlembicProject:
    project = make_project(database_url)
    project.add("one", 'op.execute("CREATE TABLE users (id int PRIMARY KEY, name text)")')
    evolve("upgrade", cwd=project.root)
    project.add(
        "two", 'op.execute("ALTER TABLE users ALTER id TYPE bigint")\nop.create_index("n", "users", ["name"])'
    )
    return project


def test_it_shows_locks_and_rewrites_and_writes_nothing(project: AlembicProject, database_url: str) -> None:
    answer = evolve("upgrade", "--dry-run", "--on-copy", "--format", "json", cwd=project.root)
    (step,) = json.loads(answer.stdout)["steps"]
    assert [each["locks"] for each in step["statements"]] == [{"users": "ACCESS EXCLUSIVE"}, {}]
    assert list(step["rewritten"]) == ["users"]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("one",)
        assert connection.execute("SELECT to_regclass('n')").fetchone() == (None,)


def test_a_revision_that_fails_there_makes_the_answer_no(project: AlembicProject) -> None:
    project.add("three", 'op.execute("ALTER TABLE nobody ADD x int")')
    answer = evolve("upgrade", "--on-copy", cwd=project.root)
    assert answer.returncode == 1
    assert 'relation "nobody" does not exist' in answer.stdout


def test_without_pg_dump_the_copy_is_made_by_the_revisions(
    project: AlembicProject, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_major: int) -> Path | None:
        return None

    monkeypatch.setattr(schema_copy, "_pg_dump", nothing)
    tried = dry_run(find_project(project.root), database_url, "head", "upgrade")
    assert (tried.copied_by, [step.error for step in tried.steps]) == ("its own revisions", [None])
    (project.versions / "one.py").write_text(
        (project.versions / "one.py").read_text().replace("CREATE TABLE", "CREATE TABEL")
    )
    with pytest.raises(CannotCopy):
        dry_run(find_project(project.root), database_url, "head", "upgrade")


def test_downgrade_of_one_of_several_heads(project: AlembicProject) -> None:
    project.add("left", 'op.execute("CREATE TABLE l (id int)")', 'op.execute("DROP TABLE l")', after="two")
    project.add("right", 'op.execute("CREATE TABLE r (id int)")', 'op.execute("DROP TABLE r")', after="two")
    evolve("upgrade", "heads", cwd=project.root)
    ambiguous = evolve("downgrade", "--dry-run", "-1", cwd=project.root)
    assert "evolve downgrade left@-1" in ambiguous.stderr
    assert evolve("downgrade", "--dry-run", "left@-1", cwd=project.root).stdout == "left left\n"
    tried = evolve("downgrade", "--on-copy", "left@-1", cwd=project.root)
    assert "ACCESS EXCLUSIVE on l" in tried.stdout
    back = evolve("downgrade", "left@-1", cwd=project.root)
    assert back.stdout == "reverted 1 revision; the database is at right\n"


def test_no_password_reaches_the_list_of_processes(database_url: str) -> None:
    password = database_url.split(":")[2].split("@")[0]
    environment = schema_copy._environment(database_url)
    assert environment["PGPASSWORD"] == password
    assert environment["PGDATABASE"] == database_url.rsplit("/", 1)[1]
