"""`evolve plan`, `advance` and `status` with what people get wrong: a clear error, the right exit status, no file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.command_line import evolve

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
RENAME = ("plan", "rename-column", "users.name", "full_name")
SCHEMA = "CREATE TABLE users (id int PRIMARY KEY, name text, email text)"


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> ChangeProject:
    return ChangeProject(make_project(database_url), database_url, SCHEMA)


def files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def refused(project: ChangeProject, *arguments: str, status: int, words: str, **environment: str) -> None:
    """The command ends in `status` with `words` in its error, a fix beside them, and no file changed."""
    before = files(project.root)
    done = project.run(*arguments, **environment)
    assert done.returncode == status, done.stdout + done.stderr
    assert re.search(words, done.stderr), done.stderr
    assert "fix: " in done.stderr
    assert done.stdout == ""
    assert files(project.root) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plan", "rename-column", "people.name", "full_name"), 'no table "people"'),
        (("plan", "rename-column", "user.name", "full_name"), 'did you mean "users"'),
        (("plan", "rename-column", "users.nmae", "full_name"), 'no column "nmae"'),
        (("plan", "rename-column", "users.name", "email"), 'has a column "email" already'),
        (("plan", "rename-column", "users.name", "x" * 64), "has 64 bytes"),
        (("plan", "rename-column", "name", "full_name"), "is not a column name"),
        (("plan", "rename-column", "users.name", "app.full_name"), "is not a name"),
        (("plan", "add-required-column", "users.x", "txet", "--up", "''"), 'no type "txet"'),
        (("plan", "add-required-column", "users.x", "text", "--up", "oops("), "is not an SQL expression"),
        (("advance", "nothing_of_the_kind"), 'there is no change "nothing_of_the_kind"'),
        (("advance", "../../etc/passwd"), "there is no change"),
        (("status", "nothing_of_the_kind"), "there is no change"),
    ],
)
def test_names_that_lead_nowhere(users: ChangeProject, arguments: tuple[str, ...], words: str) -> None:
    refused(users, *arguments, *(["--write"] if arguments[0] == "plan" else []), status=2, words=words)


def test_two_heads(users: ChangeProject) -> None:
    users.project.add("second", "", after="first")
    users.project.add("third", "", after="first")
    refused(users, *RENAME, "--write", status=2, words="alembic merge heads")


def test_no_project(tmp_path: Path, database_url: str) -> None:
    done = evolve(*RENAME, cwd=tmp_path, env={"EVOLVE_DATABASE_URL": database_url})
    assert (done.returncode, done.stdout) == (2, "")
    assert "no Alembic project here" in done.stderr


def test_server_down(users: ChangeProject) -> None:
    url = "postgresql://postgres@127.0.0.1:1/nothing"
    refused(
        users, *RENAME, "--write", "--database-url", url, status=2, words="cannot connect to .*127.0.0.1:1"
    )


def test_wrong_password(users: ChangeProject, database_url: str) -> None:
    """A role that the server does not know is refused like a wrong password, whatever pg_hba says."""
    secret = "hunter2"  # noqa: S105
    url = re.sub(r"//[^@/]*@?", f"//nobody_of_that_name:{secret}@", database_url)
    done = users.run(*RENAME, "--database-url", url)
    assert done.returncode == 2
    assert "cannot connect to" in done.stderr
    assert secret not in done.stderr + done.stdout


def test_a_change_in_flight_on_the_same_column(users: ChangeProject) -> None:
    users.ok(*RENAME, "--write")
    for other in (
        RENAME,
        ("plan", "rename-column", "users.name", "label"),
        ("plan", "set-not-null", "users.name", "--fill", "''"),
    ):
        refused(users, *other, "--write", status=1, words=f'change "{CHANGE}" is in flight')


def test_another_column_may_change_meanwhile(users: ChangeProject) -> None:
    users.ok(*RENAME, "--write")
    users.ok("plan", "set-not-null", "users.email", "--fill", "''", "--write")
    assert [path.name[13:] for path in users.revisions] == [
        "expand_rename_users_name_to_full_name.py",
        "expand_no_new_null_in_users_email.py",
    ]


def test_a_confirmation_that_nobody_asked_for(users: ChangeProject) -> None:
    users.ok(*RENAME, "--write")
    refused(users, "advance", CHANGE, "--old-code-gone", status=2, words="is not asked for now")


@pytest.mark.parametrize(
    "command", [("advance", CHANGE), ("status",), ("plan", "set-not-null", "users.email")]
)
def test_a_manifest_edited_into_nonsense(users: ChangeProject, command: tuple[str, ...]) -> None:
    users.ok(*RENAME, "--write")
    manifest = users.manifest(CHANGE)
    manifest.write_text(manifest.read_text().replace('state = "begun"', 'state = "bygone"', 1))
    words = rf'{CHANGE}.toml: "phase\[1\].state" is .bygone.'
    refused(users, *command, status=2, words=words)


def test_an_edited_revision(users: ChangeProject) -> None:
    users.ok(*RENAME, "--write")
    (revision,) = users.revisions
    revision.write_text(
        revision.read_text().replace("def upgrade():", 'def upgrade():\n    op.execute("SELECT 1")', 1)
    )
    users.ok("upgrade")
    users.ok("advance", CHANGE)  # statements may be added
    text = revision.read_text()
    assert text.count("ENABLE ALWAYS TRIGGER") == 1
    revision.write_text(text.replace("ENABLE ALWAYS TRIGGER", "DISABLE TRIGGER"))
    refused(users, "advance", CHANGE, status=1, words="does not send what the plan .*ENABLE ALWAYS TRIGGER")
    done = users.run("advance", CHANGE, "--accept-edits")
    assert "does not send" not in done.stderr


def test_a_phase_removed_from_the_manifest(users: ChangeProject) -> None:
    users.ok(*RENAME, "--write")
    manifest = users.manifest(CHANGE)
    manifest.write_text(
        re.sub(r'\[\[phase\]\]\nname = "purge".*?(?=\[facts\])', "", manifest.read_text(), flags=re.DOTALL)
    )
    refused(users, "advance", CHANGE, status=2, words="for this change there must be expand")


@pytest.mark.parametrize("place", ["migrations/evolve", "migrations/versions"])
def test_a_folder_that_cannot_be_written(users: ChangeProject, place: str) -> None:
    folder = users.root / place
    if place.endswith("evolve"):
        folder.write_text("a file in the way, which stops root too")
        refused(users, *RENAME, "--write", status=2, words="cannot write")
        return
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder.chmod(0o500)
    try:
        refused(users, *RENAME, "--write", status=2, words="cannot write")
    finally:
        folder.chmod(0o700)


def test_a_role_that_may_not_keep_evidence(users: ChangeProject, database_url: str) -> None:
    users.ok(*RENAME, "--write")
    users.ok("upgrade")
    users.sql("DROP ROLE IF EXISTS reader")
    users.sql("CREATE ROLE reader LOGIN PASSWORD 'secret'")
    users.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    users.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    url = re.sub(r"//[^@/]*@?", "//reader:secret@", database_url)
    try:
        refused(
            users, "advance", CHANGE, "--database-url", url, status=2, words='"reader" may not keep evidence'
        )
    finally:
        users.sql("DROP OWNED BY reader")
        users.sql("DROP ROLE reader")


def test_a_database_that_is_ahead_of_the_project(users: ChangeProject) -> None:
    users.ok(*RENAME, "--write")
    users.sql("UPDATE alembic_version SET version_num = 'from_elsewhere'")
    refused(users, "advance", CHANGE, status=2, words="at from_elsewhere, which this project does not have")


def test_without_write_no_file_is_made(users: ChangeProject) -> None:
    before = files(users.root)
    assert "expand" in users.ok(*RENAME)
    assert files(users.root) == before


@pytest.mark.parametrize("report", ["text", "json", "markdown"])
def test_reports_say_where_the_facts_come_from(users: ChangeProject, report: str) -> None:
    shown = users.ok(*RENAME, "--format", report)
    assert ('"facts": "database"' if report == "json" else "facts from the database") in shown


def test_without_a_database_the_revisions_give_the_facts(tmp_path: Path) -> None:
    project = AlembicProject(tmp_path / "project")
    project.add("first", f'op.execute("{SCHEMA}")\nop.execute("CREATE INDEX ix_users_name ON users (name)")')
    done = evolve(*RENAME, "--format", "json", cwd=project.root)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["facts"] == "revisions"
    titles = [revision["title"] for phase in plan["phases"] for revision in phase["revisions"]]
    assert "indexes and keys for users.full_name" in titles


def test_offline_plans_refuse_what_the_revisions_show(tmp_path: Path) -> None:
    project = AlembicProject(tmp_path / "project")
    project.add("first", f'op.execute("{SCHEMA}")\nop.execute("CREATE VIEW v AS SELECT name FROM users")')
    done = evolve(*RENAME, cwd=project.root)
    assert (done.returncode, done.stdout) == (1, "")
    assert "view v" in done.stderr


def test_a_plan_knows_that_the_database_is_behind(users: ChangeProject) -> None:
    users.project.add("second", "op.execute('SELECT 1')")
    assert "The database is at first, the project's head is second" in users.ok(*RENAME)


def test_a_gate_that_is_shut_when_its_revision_runs_says_what_opens_it(users: ChangeProject) -> None:
    users.sql("INSERT INTO users SELECT n, 'a' FROM generate_series(1, 2000) n")
    users.ok(*RENAME, "--write")
    users.ok("upgrade")
    users.ok("advance", CHANGE)
    users.ok("backfill", "run", CHANGE)
    users.ok("advance", CHANGE)
    users.sql("ALTER TABLE users DISABLE TRIGGER USER; UPDATE users SET full_name = NULL")
    done = users.run("upgrade")
    assert done.returncode == 1
    assert f"fix: run: evolve backfill run {CHANGE} (with --restart where it has ended before)" in done.stderr


def test_a_backfill_that_is_done_tells_how_to_begin_again(users: ChangeProject) -> None:
    users.ok(*RENAME, "--write")
    users.ok("upgrade")
    users.ok("advance", CHANGE)
    users.ok("backfill", "run", CHANGE)
    assert f"evolve backfill run {CHANGE} --restart" in users.ok("backfill", "run", CHANGE)


def test_a_column_whose_domain_is_constrained_cannot_have_a_twin(users: ChangeProject) -> None:
    users.sql("CREATE DOMAIN percent AS int CHECK (VALUE < 101); ALTER TABLE users ADD COLUMN part percent")
    words = 'type "percent" is a domain with constraints'
    refused(users, "plan", "rename-column", "users.part", "share", "--write", status=1, words=words)


COMMENTED = "email -- and what follows"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("split-column", "users.name", "--into", "a=substr(name, 1", "--into", "b=name", "--down", "a"),
            "not an SQL",
        ),
        (("split-column", "users.name", "--into", "a=x; y", "--into", "b=name", "--down", "a"), "not an SQL"),
        (
            ("split-column", "users.name", "--into", "a=name -- x", "--into", "b=name", "--down", "a"),
            "a comment",
        ),
        (
            ("merge-columns", "users", "--into", "x=name ||", "--down", "name=x", "--down", "email=x"),
            "not an SQL",
        ),
        (("change-type", "users.email", "bytea", "--up", COMMENTED, "--down", "email"), "a comment"),
        (("add-required-column", "users.x", "text", "--up", COMMENTED), "a comment"),
    ],
)
def test_what_is_no_expression(users: ChangeProject, arguments: tuple[str, ...], words: str) -> None:
    refused(users, "plan", *arguments, "--write", status=2, words=words)


def test_a_json_column_is_what_was_asked_for(users: ChangeProject) -> None:
    assert "users.document is there" in users.ok("plan", "add-column", "users.document", "json")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (RENAME, f"_evolve_q_{CHANGE} text"),
        (("plan", "add-column", "users.city", "text"), "before expand"),
        (("plan", "drop-column", "users.email"), "_evolve_q_drop_users_email text"),
        (("plan", "rename-table", "users", "people"), "until they have a people"),
    ],
)
def test_a_table_that_the_revisions_publish_can_change_and_its_subscribers_are_thought_of(
    make_project: Callable[..., AlembicProject], database_url: str, arguments: tuple[str, ...], needed: str
) -> None:
    published = ChangeProject(
        make_project(database_url), database_url, f"{SCHEMA}; CREATE PUBLICATION outward FOR TABLE users"
    )
    told = " ".join(published.ok(*arguments).split())
    assert "published by outward" in told
    assert needed in told


def test_a_gate_on_rows_that_nothing_mends_sends_nobody_to_the_same_place_twice(users: ChangeProject) -> None:
    users.ok("plan", "add-unique", "users", "email", "--write")
    users.sql("INSERT INTO users VALUES (1, 'a', 'same'), (2, 'b', 'same')")
    done = users.run("upgrade")
    assert "fix: see: evolve status add_unique_users_email" in done.stderr


def test_what_comes_next_where_only_a_manifest_was_written(users: ChangeProject) -> None:
    users.sql("ALTER TABLE users ALTER COLUMN name SET NOT NULL")
    told = users.ok("plan", "drop-not-null", "users.name", "--write")
    assert "next: commit it, then: evolve advance drop_not_null_users_name" in told


def test_a_role_that_does_not_own_the_table_is_told(users: ChangeProject) -> None:
    users.sql(
        "CREATE ROLE planner LOGIN PASSWORD 'p'; "
        "GRANT SELECT ON users TO planner; GRANT SELECT ON alembic_version TO planner"
    )
    try:
        url = urlsplit(users.url)
        host = url.netloc.rpartition("@")[2]
        other = urlunsplit(url._replace(netloc=f"planner:p@{host}"))
        done = users.run("plan", "rename-column", "users.name", "full_name", "--database-url", other)
        assert done.returncode == 0, done.stderr
        assert 'Role "planner", which this was planned as, does not own users' in " ".join(
            done.stdout.split()
        )
    finally:
        users.sql("DROP OWNED BY planner; DROP ROLE planner")


def test_a_manifest_that_says_more_has_begun_than_did_writes_nothing(users: ChangeProject) -> None:
    users.ok(*RENAME, "--write")
    users.ok("upgrade")
    manifest = users.root / "migrations" / "evolve" / f"{CHANGE}.toml"
    text = manifest.read_text()
    for phase, revisions in (
        ("backfill", ""),
        ("validate", '"aa01"'),
        ("switch", ""),
        ("contract", '"aa02"'),
    ):
        planned, begun = (
            f'name = "{phase}"\nstate = "{state}"\nrevisions = [{names}]'
            for state, names in (("planned", ""), ("begun", revisions))
        )
        assert planned in text
        text = text.replace(planned, begun)
    manifest.write_text(text)
    refused(
        users, "advance", CHANGE, status=1, words="names aa01, which no file is.* never saw validate begin"
    )
