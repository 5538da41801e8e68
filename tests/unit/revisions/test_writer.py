"""Revisions as files: what they say, that formatters leave them alone, and that they are read as they were meant."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from support.alembic_project import AlembicProject

from evolve.files import CannotWrite
from evolve.plan.model import Part
from evolve.revisions.gate_operation import escape_colons
from evolve.revisions.history import read_history
from evolve.revisions.project import Project, find_project
from evolve.revisions.writer import BrokenTemplate, NewRevision, execute, python_string, write_revision
from evolve.sql.locks import LockMode
from evolve.sql.statements import Statement

ODD = [
    "SELECT 1",
    "SELECT ':name', ' :name', x::text, a[1:2], a[:2] -- :c",
    "SELECT 'it''s', \"quoted\"",
    'SELECT "only double"',
    r"SELECT 'back\slash', E'\n\\:x'",
    'SELECT """three""", \'"""\'',
    "SELECT 'two\nlines'",
    "SELECT '100%', '%s', '%(x)s'",
    "SELECT 'größe', '😀'",
    "SELECT '\x07'",
    "SELECT\n    1,\n    2",
    "SELECT " + ", ".join(f"column_number_{n}" for n in range(20)),
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $evolve$\nBEGIN\n    x := 'a';\nEND\n$evolve$",
]


def sent(code: str) -> list[str]:
    """The SQL that `op.execute` in `code` would send."""
    buffer: list[str] = []

    class Buffer:
        def write(self, text: str) -> None:
            buffer.append(text)

        def flush(self) -> None:
            pass

    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={"as_sql": True, "output_buffer": Buffer(), "literal_binds": True},
        dialect_opts={"paramstyle": "named"},
    )
    with Operations.context(context) as op:
        exec(code, {"op": op})  # noqa: S102 - it is what the test wrote
    return ["".join(buffer).strip().removesuffix(";")]


def words(sql: str) -> list[str]:
    return sql.split()


@pytest.mark.parametrize("sql", ODD)
def test_what_a_statement_says_is_what_is_sent(sql: str) -> None:
    (received,) = sent(execute(sql, 0))
    assert words(received) == words(sql)


@pytest.mark.parametrize("sql", [sql for sql in ODD if "two\nlines" in sql or "evolve" in sql])
def test_line_breaks_inside_literals_survive(sql: str) -> None:
    (received,) = sent(execute(sql, 0))
    assert "\n".join(line.strip() for line in received.splitlines()) == "\n".join(
        line.strip() for line in sql.splitlines()
    )


@pytest.mark.parametrize("text", [*ODD, "", "'", '"', "\\", "'\"", "\\'"])
def test_a_python_string_means_its_text(text: str) -> None:
    assert ast.literal_eval(python_string(text)) == text


@pytest.mark.parametrize("sql", ["x::int", "a[1:2]", "'10:30'", "'::'"])
def test_colons_that_are_no_parameters_are_left_alone(sql: str) -> None:
    assert escape_colons(sql) == sql


# -- files --------------------------------------------------------------------------------------------------
PART = Part(
    'rename "users" to\nsomething """odd""" \\',
    (
        Statement(
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "it is",
            transactional=False,
        ),
        *(
            Statement(sql, LockMode.ACCESS_EXCLUSIVE, "it takes an instant")
            for sql in ODD
            if "\x07" not in sql
        ),
    ),
    (Statement("DROP INDEX i", None, "nobody uses it"),),
)
NEW = NewRevision("abc123", "change_of_mine", "expand", PART)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return find_project(AlembicProject(tmp_path / "project").root)


@pytest.fixture
def real_project(tmp_path: Path) -> Project:
    """As `alembic init` makes it."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "init", "migrations"], cwd=tmp_path, check=True, capture_output=True
    )
    return find_project(tmp_path)


def test_a_revision_is_part_of_the_history(project: Project) -> None:
    first = write_revision(project, NEW, None)
    write_revision(project, NewRevision("def456", "change_of_mine", "contract", PART), "abc123")
    history = read_history(project)
    assert history.head() == "def456"
    assert history.revisions["def456"].down_revisions == ("abc123",)
    assert history.revisions["abc123"].path == first
    assert dict(history.revisions["abc123"].metadata) == {"change": "change_of_mine", "phase": "expand"}


def test_one_that_takes_back_what_only_asked_does_nothing(project: Project) -> None:
    part = Part("it is so", ())
    file = write_revision(project, NewRevision("abc123", "change_of_mine", "validate", part), None)
    functions = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert [ast.unparse(function.body[0]) for function in functions] == ["pass", "pass"]


@pytest.mark.parametrize("length", [79, 88, 110, 140])
def test_formatters_leave_it_alone(real_project: Project, length: int) -> None:
    file = write_revision(real_project, NEW, None)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "format",
            "--isolated",
            "--diff",
            "--line-length",
            str(length),
            str(file),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_projects_naming_is_followed(project: Project) -> None:
    ini = project.configuration
    ini.write_text(ini.read_text() + "file_template = %%(year)d_%%(slug)s__%%(rev)s\n")
    file = write_revision(find_project(project.root), NEW, None)
    assert file.name.endswith("__abc123.py")
    assert file.name[:4].isdigit()


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("revision = ${repr(up_revision)}\n% if\n", "not a partial control statement"),
        ("def upgrade(:\n", "line 1"),
        ('from alembic import op\nrevision = "x"\ndef upgrade(): pass\n', "no downgrade"),
        (
            "revision = 'x'\ndef upgrade():\n    ${upgrades}\ndef downgrade():\n    ${downgrades}\n",
            "import op",
        ),
        (
            "from alembic import op\ndef upgrade():\n    ${upgrades}\ndef downgrade():\n    ${downgrades}\n",
            "no revision",
        ),
    ],
)
def test_a_template_that_gives_no_revision(project: Project, template: str, reason: str) -> None:
    (project.script_directory / "script.py.mako").write_text(template)
    with pytest.raises(BrokenTemplate, match=reason):
        write_revision(project, NEW, None)
    assert list(project.version_directories[0].glob("*.py")) == []


def test_a_folder_that_cannot_be_written(project: Project) -> None:
    versions = project.version_directories[0]
    target = versions / "abc123_expand_rename_users_to_something_odd.py"
    target.mkdir()
    with pytest.raises(CannotWrite):
        write_revision(project, NEW, None)
    assert [path.name for path in versions.iterdir()] == [target.name]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE FUNCTION f(a int) RETURNS text LANGUAGE plpgsql AS $$\nBEGIN\n    RETURN $1 || 'x\n  y';\nEND\n$$",
        'CREATE FUNCTION f() RETURNS text LANGUAGE plpython3u AS $py$\nif True:\n    return "a\\n"\n$py$',
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1::int -- ä 100%\n $$",
    ],
)
def test_the_body_of_a_function_keeps_its_blanks(sql: str) -> None:
    call = ast.parse(execute(sql, 4), mode="eval").body
    assert isinstance(call, ast.Call)
    text = sqlalchemy.text(ast.literal_eval(call.args[0]))

    assert str(text.compile(dialect=postgresql.dialect(paramstyle="named"))) == sql


def test_a_comment_swallows_nothing() -> None:
    assert "\n" in execute("SELECT 1 -- one\n, 2", 4)
