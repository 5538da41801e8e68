"""What `evolve lint` looks at, as a user or a hook asks for it: the index, files, ranges, databases."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.alembic_project import AlembicProject
from support.command_line import environment, evolve
from support.git import git

TABLES = """
    op.create_table("users", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
"""
SAFE = 'op.add_column("users", sa.Column("nickname", sa.Text()))'
BAD = 'op.drop_column("users", "name")'
INDEX = 'op.create_index("by_name", "users", ["name"])'

MakeProject = Callable[..., AlembicProject]


@pytest.fixture
def project(make_project: MakeProject) -> AlembicProject:
    """Revision 0001 on main, in a folder of a repository, and a branch that has just begun."""
    made = make_project()
    made.add("0001", TABLES)
    git(made.root.parent, "init", "-q", "-b", "main")
    commit_all(made)
    git(made.root, "checkout", "-q", "-b", "work")
    return made


def commit_all(project: AlembicProject) -> None:
    git(project.root, "add", "-A", ".")
    git(project.root, "commit", "-q", "-m", "as it is")


def lint(project: AlembicProject, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return evolve("lint", *arguments, "--format", "json", cwd=project.root)


def found(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """(revision, rule) of each finding."""
    assert done.stdout, done.stderr
    return [(each["revision"], each["name"]) for each in json.loads(done.stdout)["findings"]]


# -- what is staged ------------------------------------------------------------------------------------------------
def test_the_index_is_judged_and_not_the_working_tree(project: AlembicProject) -> None:
    file = project.add("0002", BAD)
    git(project.root, "add", ".")
    file.write_text(file.read_text().replace(BAD, SAFE))

    assert (found(lint(project, "--staged")), found(lint(project))) == ([("0002", "drop-column")], [])


def test_what_is_only_saved_is_not_staged(project: AlembicProject) -> None:
    file = project.add("0002", SAFE)
    git(project.root, "add", ".")
    file.write_text(file.read_text().replace(SAFE, BAD))
    project.add("0003", INDEX)

    done = lint(project, "--staged")

    assert (found(done), json.loads(done.stdout)["coverage"]["revisions"]) == ([], 1)


def test_files_are_named_and_shown_as_people_know_them(project: AlembicProject) -> None:
    file = project.add("0002", f"{BAD}  # as staged")
    git(project.root, "add", ".")
    file.write_text("# nothing of it is left\n")

    done = evolve("lint", "--staged", cwd=project.root)

    assert "migrations/versions/0002.py:11: error EV204" in done.stdout, done.stdout
    assert "# as staged" in done.stdout
    assert "evolve-staged-" not in done.stdout + done.stderr


def test_a_revision_that_is_staged_and_was_deleted_since(project: AlembicProject) -> None:
    file = project.add("0002", BAD)
    git(project.root, "add", ".")
    file.unlink()

    assert found(lint(project, "--staged")) == [("0002", "drop-column")]


def test_only_what_the_commit_changes_is_told_and_the_branch_is_one_rollout(project: AlembicProject) -> None:
    project.add("0002", TABLES.replace("users", "teams"))
    project.add("0003", BAD)
    commit_all(project)
    project.add("0004", INDEX.replace("users", "teams").replace("by_name", "teams_by_name"))
    git(project.root, "add", ".")

    done = lint(project, "--staged")

    assert (done.returncode, found(done)) == (0, [])


def test_a_revision_of_the_branch_may_be_staged_anew(project: AlembicProject) -> None:
    """Nobody has applied it who has not the branch."""
    file = project.add("0002", SAFE)
    commit_all(project)
    file.write_text(file.read_text().replace("nickname", "alias"))
    git(project.root, "add", ".")

    assert found(lint(project, "--staged")) == []


@pytest.mark.parametrize("options", [(), ("--staged",)])
def test_tables_of_a_revision_that_is_only_edited_are_in_use(
    project: AlembicProject, options: tuple[str, ...]
) -> None:
    project.add("0002", BAD)
    first = project.versions / "0001.py"
    first.write_text(first.read_text().replace("sa.Text()", "sa.String()"))
    git(project.root, "add", ".")

    done = lint(project, *options)

    assert found(done) == [("0001", "edited-applied-revision"), ("0002", "drop-column")]


def test_nothing_staged(project: AlembicProject) -> None:
    project.add("0002", BAD)

    done = evolve("lint", "--staged", cwd=project.root)

    assert (done.returncode, done.stdout) == (0, "no revisions to check\n")


def test_the_first_commit(make_project: MakeProject) -> None:
    project = make_project()
    project.add("0001", TABLES)
    project.add("0002", BAD)
    git(project.root, "init", "-q", "-b", "main")
    git(project.root, "add", ".")

    assert found(lint(project, "--staged")) == [("0002", "drop-column")]


@pytest.mark.parametrize("how", [("-m", "x"), ("-a", "-m", "x"), ("-m", "x", "--", ".")])
@pytest.mark.parametrize("worktree", [False, True])
def test_as_a_hook(project: AlembicProject, tmp_path: Path, how: tuple[str, ...], worktree: bool) -> None:
    top = project.root.parent
    hook = top / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ncd {project.root.name} && exec {sys.executable} -m evolve lint --staged\n")
    hook.chmod(0o755)
    if worktree:
        tree = tmp_path.parent / f"{tmp_path.name}-tree"
        git(top, "worktree", "add", "-q", str(tree), "-b", "other")
        top = tree
    file = top / project.root.name / "migrations" / "versions" / "0002.py"
    file.write_text(project.add("0002", BAD).read_text())
    git(top, "add", str(file))

    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", *how],
        cwd=top,
        env=environment(),
        capture_output=True,
        text=True,
    )

    assert (done.returncode, "0002.py:11: error EV204" in done.stdout + done.stderr) == (1, True), done.stderr


def test_a_merge_that_is_not_resolved(project: AlembicProject) -> None:
    file = project.add("0002", SAFE)
    commit_all(project)
    git(project.root, "checkout", "-q", "main")
    file.write_text(project.add("0002", BAD, after="0001").read_text())
    commit_all(project)
    with pytest.raises(subprocess.CalledProcessError):
        git(project.root, "merge", "work")

    done = lint(project, "--staged")

    assert (done.returncode, "0002.py is not resolved" in done.stderr) == (2, True), done.stderr


def test_where_pre_commit_compares_commits_what_is_new_since_is_judged(project: AlembicProject) -> None:
    """As `pre-commit run --from-ref origin/main --to-ref HEAD` does in CI: nothing is staged there."""
    project.add("0002", BAD)
    commit_all(project)

    done = evolve(
        "lint", "--staged", "--format", "json", cwd=project.root, env={"PRE_COMMIT_FROM_REF": "HEAD~1"}
    )

    assert found(done) == [("0002", "drop-column")]


def test_staged_needs_a_repository(make_project: MakeProject) -> None:
    project = make_project()
    done = evolve(
        "lint", "--staged", cwd=project.root, env={"GIT_CEILING_DIRECTORIES": str(project.root.parent)}
    )

    assert (done.returncode, "--staged needs a git repository" in done.stderr) == (2, True)


def test_nothing_is_left_behind(project: AlembicProject, tmp_path: Path) -> None:
    file = project.add("0002", BAD)
    git(project.root, "add", ".")
    file.write_text(file.read_text().replace(BAD, SAFE))
    (tmp_path / "tmp").mkdir()
    before = git(project.root, "status", "--porcelain=v2", "--untracked-files=all")

    evolve("lint", "--staged", cwd=project.root, env={"TMPDIR": str(tmp_path / "tmp")})

    assert list((tmp_path / "tmp").iterdir()) == []
    assert git(project.root, "status", "--porcelain=v2", "--untracked-files=all") == before


# -- files ---------------------------------------------------------------------------------------------------------
def test_files_of_revisions(project: AlembicProject) -> None:
    file = project.add("0002", BAD)
    project.add("0003", INDEX)

    assert found(lint(project, file)) == [("0002", "drop-column")]


def test_files_that_are_no_revisions_are_passed_over_and_named(project: AlembicProject) -> None:
    file = project.add("0002", BAD)

    done = lint(project, "migrations/env.py", file)

    assert found(done) == [("0002", "drop-column")]
    assert "passed over, for no revision of this project: env.py" in done.stderr


def test_only_files_that_are_no_revisions(project: AlembicProject) -> None:
    done = evolve("lint", "migrations/env.py", cwd=project.root)

    assert (done.returncode, done.stdout) == (0, "no revisions to check\n")


def test_files_of_an_old_history_are_each_judged_as_if_all_before_were_in_use(
    project: AlembicProject,
) -> None:
    project.add("0002", BAD)
    commit_all(project)
    git(project.root, "branch", "-f", "main")
    files = sorted(project.versions.glob("*.py"))

    assert found(lint(project, *files)) == [("0002", "drop-column")]


def test_a_file_on_a_table_that_the_same_branch_makes(project: AlembicProject) -> None:
    project.add("0002", TABLES.replace("users", "teams"))
    commit_all(project)
    file = project.add("0003", INDEX.replace("users", "teams"))

    assert found(lint(project, file)) == []


def test_a_broken_file_is_a_finding(project: AlembicProject) -> None:
    file = project.add("0002", "op.add_column(")

    assert found(lint(project, file)) == [("0002", "revision-not-loaded")]


# -- what is wrong -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("migrations/versions/0009.py",), "migrations/versions/0009.py is not there"),
        (("migrations/versions",), "migrations/versions is a directory"),
        (("./alembic.ini",), "./alembic.ini is neither Python nor SQL"),
        (("migrations/versions/0001.py", "a.sql"), "these are files of revisions (.py) and .sql files"),
        (("migrations/versions/0001.py", "0001"), "these are files of revisions (.py) and ranges"),
        (("migrations/versions/0001.py", "--since", "main"), "files and --since both say"),
        (("0001", "--staged"), "REVISIONS and --staged both say"),
        (("--since", "main", "--staged"), "--since and --staged both say"),
        (("a.sql", "--staged"), "leave out --staged"),
        (("--since", "mian"), "did you mean main?"),
        (("--since", "origin/"), "a variable that should name the branch is empty"),
        (("0002:",), 'there is no revision "0002"'),
    ],
)
def test_wrong_question(project: AlembicProject, arguments: tuple[str, ...], said: str) -> None:
    done = lint(project, *arguments)

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


# -- what a database lacks -----------------------------------------------------------------------------------------
def unapplied(project: AlembicProject, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return evolve("lint", "--unapplied", "--database-url", url, *options, cwd=project.root)


@pytest.mark.server
def test_a_database_without_a_version_table_lacks_all(project: AlembicProject, database_url: str) -> None:
    project.add("0002", BAD)

    done = unapplied(project, database_url)

    assert (done.returncode, "all of them, for its alembic_version has none" in done.stderr) == (0, True)


@pytest.mark.server
def test_several_applied_heads(project: AlembicProject, database_url: str) -> None:
    project.add("0002", BAD)
    project.add("0003", SAFE, after="0001")
    project.add("0004", INDEX)
    stamp(database_url, "0002", "0003")

    assert found(unapplied(project, database_url, "--format", "json")) == [("0004", "create-index-blocking")]


@pytest.mark.server
@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ("INSERT INTO alembic_version VALUES ('9999')", 'the database is at revision "9999"'),
        ("ALTER TABLE alembic_version RENAME version_num TO v", '"alembic_version": column'),
        ("REVOKE ALL ON alembic_version FROM CURRENT_USER", "permission denied for table alembic_version"),
    ],
)
def test_a_version_table_that_tells_nothing(
    project: AlembicProject, database_url: str, statements: str, said: str
) -> None:
    stamp(database_url, "0001")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE ROLE reads_nothing LOGIN PASSWORD 'x'" if "REVOKE" in statements else "SELECT 1"
        )
        connection.execute(statements.encode())
    try:
        url = database_url
        if "REVOKE" in statements:
            url = make_conninfo(database_url, user="reads_nothing", password="x")  # noqa: S106

        done = unapplied(project, url)
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("DROP ROLE IF EXISTS reads_nothing")

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def stamp(url: str, *revisions: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        for revision in revisions:
            connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))


# -- ranges --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("0001..0002", "a range has one colon: 0001:0002"),
        ("0001:0001:0002", "a range has one colon: 0001:0002"),
        ("main", "a branch or tag of git goes behind --since"),
        ("migrations", "files end in .py or .sql"),
        ("000", '"000" stands for several revisions: 0001, 0002'),
        ("0003:", "did you mean 0002 or 0001?"),
        ("0002:0001", "turn it round: 0001:0002"),
        ("", "a range has one colon: base:heads"),
    ],
)
def test_ranges_that_lead_nowhere(project: AlembicProject, words: str, said: str) -> None:
    project.add("0002", SAFE)

    done = lint(project, words)

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


# -- versions of PostgreSQL ----------------------------------------------------------------------------------------
VIRTUAL = 'op.execute("ALTER TABLE users ADD COLUMN twice bigint GENERATED ALWAYS AS (id * 2) VIRTUAL")'


def versions(done: subprocess.CompletedProcess[str]) -> list[tuple[str, list[int]]]:
    return [(each["name"], each["versions"]) for each in json.loads(done.stdout)["findings"]]


@pytest.mark.parametrize("options", [("--pg-version", "16,18"), ("--pg-version", "18", "--pg-version", "16")])
def test_the_worst_of_several_versions_counts(project: AlembicProject, options: tuple[str, ...]) -> None:
    project.add("0002", VIRTUAL)

    done = lint(project, *options)

    assert (done.returncode, versions(done)) == (1, [("needs-newer-postgres", [16])])


def test_versions_of_the_settings(project: AlembicProject) -> None:
    project.add("0002", VIRTUAL)
    (project.root / "evolve.toml").write_text("[lint]\npostgres_versions = [16, 17, 18]\n")

    assert versions(lint(project)) == [("needs-newer-postgres", [16, 17])]
    assert versions(lint(project, "--pg-version", "18")) == []


def test_versions_of_an_environment(project: AlembicProject) -> None:
    project.add("0002", VIRTUAL)
    (project.root / "evolve.toml").write_text(
        "[lint]\npostgres_version = 18\n[environments.production]\nlint.postgres_version = 16\n"
    )

    assert (found(lint(project)), found(lint(project, "-E", "production"))) == (
        [],
        [("0002", "needs-newer-postgres")],
    )


def test_text_names_the_versions(project: AlembicProject) -> None:
    project.add("0002", VIRTUAL)

    done = evolve("lint", "--pg-version", "16,17,18", cwd=project.root)

    assert "  only on: PostgreSQL 16 and 17\n" in done.stdout


# -- files as a merge leaves them ----------------------------------------------------------------------------------
@pytest.mark.parametrize("where", ["head", "body"])
def test_conflict_markers_are_named_with_their_line(project: AlembicProject, where: str) -> None:
    file = project.add("0002", SAFE)
    line = "down_revision = '0001'" if where == "head" else f"    {SAFE}"
    text = file.read_text()
    file.write_text(text.replace(line, f"<<<<<<< HEAD\n{line}\n=======\n{line}\n>>>>>>> main"))

    done = evolve("lint", file, cwd=project.root)

    place = text[: text.index(line)].count("\n") + 1
    assert done.returncode == 1, done.stderr
    assert f"0002.py:{place}: error EV908 revision-not-loaded" in done.stdout, done.stdout
    assert "a merge left its conflict markers here" in done.stdout


def test_line_ends_of_windows(project: AlembicProject) -> None:
    file = project.add("0002", BAD)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))

    done = evolve("lint", cwd=project.root)

    assert "migrations/versions/0002.py:11: error EV204 drop-column" in done.stdout, done.stdout


def test_a_detached_head_and_a_deleted_revision(project: AlembicProject) -> None:
    file = project.add("0002", SAFE)
    commit_all(project)
    git(project.root, "branch", "-f", "main")
    git(project.root, "checkout", "-q", "--detach")
    file.unlink()

    done = evolve("lint", cwd=project.root)

    assert (done.returncode, done.stdout) == (0, "no revisions to check\n")
    assert "no file declares 0002 any more" in done.stderr
