"""`evolve lint` and `evolve explain` as a user calls them: what is checked, exit statuses, and bad input."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.command_line import evolve
from support.git import git

TABLES = """
    op.create_table("users", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
"""
SAFE = 'op.add_column("users", sa.Column("nickname", sa.Text()))'
BAD = 'op.drop_column("users", "name")'
WARNS = 'op.execute("DO $$ BEGIN EXECUTE current_user; END $$")'

NEEDS_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on the PATH")
MakeProject = Callable[..., AlembicProject]


@pytest.fixture
def project(make_project: MakeProject) -> AlembicProject:
    made = make_project()
    made.add("0001", TABLES)
    return made


def commit_all(project: AlembicProject) -> None:
    git(project.root, "add", ".")
    git(project.root, "commit", "-q", "-m", "as it is")


def rules(output: str) -> list[tuple[str, str]]:
    """(revision, rule) of each finding of a JSON report."""
    return [(finding["revision"], finding["name"]) for finding in json.loads(output)["findings"]]


# -- exit statuses ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        (SAFE, (), 0),
        (BAD, (), 1),
        (WARNS, (), 0),
        (WARNS, ("--fail-on", "warning"), 1),
        (WARNS, ("--fail-on", "error"), 0),
    ],
)
def test_exit_status(project: AlembicProject, body: str, options: tuple[str, ...], status: int) -> None:
    project.add("0002", body)

    assert evolve("lint", "0002", *options, cwd=project.root).returncode == status


def test_fail_on_of_the_configuration(project: AlembicProject) -> None:
    project.add("0002", WARNS)
    (project.root / "evolve.toml").write_text('[lint]\nfail_on = "warning"\n')

    assert evolve("lint", "0002", cwd=project.root).returncode == 1


# -- what is checked --------------------------------------------------------------------------------------------
@NEEDS_GIT
def test_outside_a_repository_all_revisions_are_checked_each_against_those_before(
    project: AlembicProject,
) -> None:
    project.add("0002", BAD)

    answer = evolve(
        "lint",
        "--format",
        "json",
        cwd=project.root,
        env={"GIT_CEILING_DIRECTORIES": str(project.root.parent)},
    )

    assert rules(answer.stdout) == [("0002", "drop-column")]


def test_tables_of_the_same_range_are_new(project: AlembicProject) -> None:
    project.add("0002", TABLES.replace("users", "teams"))
    project.add("0003", BAD.replace("users", "teams"))

    assert evolve("lint", "0001:heads", cwd=project.root).returncode == 0


def test_in_a_repository_what_is_new_since_the_default_branch_is_checked(project: AlembicProject) -> None:
    project.add("0002", BAD)
    git(project.root, "init", "-q", "-b", "main")
    commit_all(project)
    git(project.root, "switch", "-q", "-c", "change")
    project.add("0003", BAD.replace("name", "id"))
    commit_all(project)

    answer = evolve("lint", "--format", "json", cwd=project.root)

    assert {revision for revision, _ in rules(answer.stdout)} == {"0003"}


def test_revisions_that_are_not_committed_count_as_new(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "main")
    commit_all(project)
    project.add("0002", BAD)

    assert rules(evolve("lint", "--format", "json", cwd=project.root).stdout) == [("0002", "drop-column")]


def test_nothing_new_is_no_finding_and_is_said(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "main")
    commit_all(project)

    answer = evolve("lint", cwd=project.root)

    assert (answer.returncode, answer.stdout) == (0, "no revisions to check\n")
    assert "evolve lint base:heads" in answer.stderr


def test_since_a_tag(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "main")
    commit_all(project)
    git(project.root, "tag", "v1")
    project.add("0002", BAD)
    commit_all(project)

    assert rules(evolve("lint", "--since", "v1", "--format", "json", cwd=project.root).stdout) == [
        ("0002", "drop-column")
    ]


@pytest.mark.server
def test_unapplied(make_project: MakeProject, database_url: str) -> None:
    project = make_project(database_url)
    project.add("0001", TABLES)
    project.add("0002", BAD)
    project.add("0003", SAFE)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0002')")

    answer = evolve("lint", "--unapplied", "--format", "json", cwd=project.root)

    assert (rules(answer.stdout), json.loads(answer.stdout)["coverage"]["revisions"]) == ([], 1)


def test_excluded_revisions_are_replayed_and_not_judged(project: AlembicProject) -> None:
    project.add("0002", BAD)
    project.add("0003", 'op.alter_column("users", "id", new_column_name="key")')
    (project.root / "evolve.toml").write_text('[lint]\nexclude = ["versions/0002*"]\n')

    answer = evolve("lint", "base:heads", "--format", "json", cwd=project.root)

    assert rules(answer.stdout) == [("0003", "rename-column")]


def test_version_table_statements_and_downgrade_are_no_finding(project: AlembicProject) -> None:
    project.add("0002", SAFE, downgrade='op.drop_column("users", "nickname")')

    answer = evolve("lint", "base:heads", "--format", "json", cwd=project.root)

    assert (rules(answer.stdout), json.loads(answer.stdout)["coverage"]["statements"]) == ([], 2)


# -- reports ------------------------------------------------------------------------------------------------------
def test_report_is_on_stdout_and_plain_where_it_is_no_terminal(project: AlembicProject) -> None:
    project.add("0002", BAD)

    answer = evolve("lint", "0002", cwd=project.root, env={"NO_COLOR": ""})

    assert answer.stdout.startswith("migrations/versions/0002.py:11: error EV204 drop-column\n")


def test_verbose_lists_what_is_allowed(project: AlembicProject) -> None:
    project.add("0002", f"{BAD}  # evolve: allow[drop-column] because release 41 no longer maps it")

    answer = evolve("lint", "0002", "-v", cwd=project.root)

    assert (answer.returncode, "because: release 41 no longer maps it" in answer.stdout) == (0, True)


def test_contract_revision_behind_its_gate_has_no_finding(project: AlembicProject) -> None:
    file = project.add("0002", f'op.evolve_gate("rename", no_rows="users WHERE name IS NULL")\n{BAD}')
    file.write_text(file.read_text() + '\n\nevolve = {"change": "rename", "phase": "contract"}\n')

    assert evolve("lint", "0002", cwd=project.root).returncode == 0


def test_what_lint_has_no_use_for_is_not_imported(project: AlembicProject) -> None:
    project.add("0002", BAD)

    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "evolve", "lint", "0002"],
        cwd=project.root,
        capture_output=True,
        text=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    assert imported & {"rich", "psycopg", "tomlkit", "evolve.backfill.runner", "hypothesis"} == set()


# -- a revision that cannot be read costs that revision -----------------------------------------------------------
def test_syntax_error_is_a_finding_and_the_others_are_checked(project: AlembicProject) -> None:
    project.add("0002", BAD)
    project.add("0003", "op.add_column(")
    project.add("0004", 'op.alter_column("users", "id", new_column_name="key")')

    answer = evolve("lint", "0001:heads", "--format", "json", cwd=project.root)

    expected = [("0002", "drop-column"), ("0003", "revision-not-loaded"), ("0004", "rename-column")]
    assert (answer.returncode, rules(answer.stdout)) == (1, expected)


def test_file_without_a_readable_id_is_a_finding(project: AlembicProject) -> None:
    (project.versions / "0002.py").write_text("down_revision = '0001'\nrevision = make_id()\n")

    answer = evolve("lint", "base:heads", "--format", "json", cwd=project.root)

    assert (answer.returncode, rules(answer.stdout)) == (1, [("0002.py", "revision-not-loaded")])


def test_file_that_is_no_text_is_a_finding(project: AlembicProject) -> None:
    file = project.add("0002", SAFE)
    file.write_bytes(file.read_bytes() + b'x = "\xff\xfe"\n')

    assert ("0002", "revision-not-loaded") in rules(
        evolve("lint", "0002", "--format", "json", cwd=project.root).stdout
    )


# -- bad input ----------------------------------------------------------------------------------------------------
def test_no_project_here(tmp_path: Path) -> None:
    answer = evolve("lint", cwd=tmp_path)

    assert (answer.returncode, "no Alembic project here" in answer.stderr) == (2, True)


def test_two_heads_where_one_is_needed(project: AlembicProject) -> None:
    project.add("0002", SAFE)
    project.add("0003", SAFE, after="0001")

    answer = evolve("lint", "base:head", cwd=project.root)

    assert (answer.returncode, "0002" in answer.stderr and "0003" in answer.stderr) == (2, True)


def test_two_heads_are_both_checked(project: AlembicProject) -> None:
    project.add("0002", BAD)
    project.add("0003", BAD.replace("name", "id"), after="0001")

    found = rules(evolve("lint", "0001:heads", "--format", "json", cwd=project.root).stdout)

    assert {("0002", "drop-column"), ("0003", "drop-column")} <= set(found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere:heads",), 'there is no revision "nowhere"'),
        pytest.param(("--since", "HEAD"), "needs a git repository", marks=NEEDS_GIT),
        (("0001", "--since", "HEAD"), "REVISIONS and --since both say"),
        (("--pg-version", "9"), "14<=x<=18"),
        (("--fail-on", "fatal"), "'fatal'"),
        (("--unapplied", "--database-url", "postgresql://127.0.0.1:1/none"), "cannot connect"),
        (("--unapplied",), "no database is named"),
    ],
)
def test_wrong_question(project: AlembicProject, arguments: tuple[str, ...], said: str) -> None:
    answer = evolve(
        "lint", *arguments, cwd=project.root, env={"GIT_CEILING_DIRECTORIES": str(project.root.parent)}
    )

    assert (answer.returncode, said in answer.stderr) == (2, True), answer.stderr


def test_repository_without_a_default_branch(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "trunk")
    commit_all(project)

    answer = evolve("lint", cwd=project.root)

    assert (answer.returncode, "git knows no default branch here" in answer.stderr) == (2, True)


def test_repository_without_commits_has_nothing_old(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "trunk")
    project.add("0002", BAD)

    assert rules(evolve("lint", "--format", "json", cwd=project.root).stdout) == [("0002", "drop-column")]


def test_without_git_all_revisions_are_checked_and_it_is_said(
    project: AlembicProject, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()

    answer = evolve("lint", cwd=project.root, env={"PATH": str(tmp_path / "bin")})

    assert answer.returncode == 0, answer.stderr
    assert (
        "checking all revisions, for there is no git on the PATH that would know which are new"
        in answer.stderr
    )


@NEEDS_GIT
def test_outside_a_repository_all_revisions_are_checked_and_it_is_said(project: AlembicProject) -> None:
    answer = evolve("lint", cwd=project.root, env={"GIT_CEILING_DIRECTORIES": str(project.root.parent)})

    assert "checking all revisions, for git knows no repository here" in answer.stderr


def test_a_repository_that_git_does_not_trust_is_said(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "main")

    answer = evolve("lint", cwd=project.root, env={"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})

    assert "git does not trust the owner of this repository" in answer.stderr
    assert "safe.directory" in answer.stderr


def test_project_without_revisions(make_project: MakeProject) -> None:
    answer = evolve("lint", "base:heads", cwd=make_project().root)

    assert (answer.returncode, answer.stdout) == (0, "no revisions to check\n")


def test_unknown_reference(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "main")
    commit_all(project)

    answer = evolve("lint", "--since", "no-such-tag", cwd=project.root)

    assert (answer.returncode, 'git knows no commit "no-such-tag"' in answer.stderr) == (2, True)


def test_unknown_rule_in_the_configuration_names_the_nearest(project: AlembicProject) -> None:
    (project.root / "evolve.toml").write_text('[lint]\nignore = ["drop-colum"]\n')

    answer = evolve("lint", cwd=project.root)

    assert (answer.returncode, 'did you mean "drop-column"?' in answer.stderr) == (2, True)


def test_nothing_is_written(project: AlembicProject) -> None:
    project.add("0002", BAD)
    before = sorted(project.root.rglob("*"))

    evolve("lint", "base:heads", cwd=project.root)

    assert sorted(project.root.rglob("*")) == before


# -- explain --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("word", ["EV204", "ev204", "drop-column"])
def test_explain_prints_the_page(word: str, tmp_path: Path) -> None:
    assert evolve("explain", word, cwd=tmp_path).stdout.startswith("# EV204 drop-column\n")


def test_explain_lists_all_rules(tmp_path: Path) -> None:
    from evolve.lint.rules import ALL

    listed = re.findall(r"^(EV\d{3}) ", evolve("explain", cwd=tmp_path).stdout, re.MULTILINE)

    assert listed == [rule.id for rule in ALL]


def test_explain_as_json(tmp_path: Path) -> None:
    answer = json.loads(evolve("explain", "drop-column", "--format", "json", cwd=tmp_path).stdout)

    assert (answer["schema"], answer["rules"][0]["lock"]) == (1, "ACCESS EXCLUSIVE")


def test_explain_names_the_nearest(tmp_path: Path) -> None:
    answer = evolve("explain", "drop-colum", cwd=tmp_path)

    assert (answer.returncode, 'did you mean "drop-column"?' in answer.stderr) == (2, True)
