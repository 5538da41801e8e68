"""`evolve lint --facts`: what the report says of sizes, and facts that are wrong, old or of another database."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.alembic_project import AlembicProject
from support.command_line import evolve
from support.facts import facts, relation

from evolve.lint.facts import RelationFacts, to_json

TABLES = """
    op.create_table("users", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
    op.create_table("orders", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("note", sa.Text()))
"""
BUILDS = """
    op.create_index("ix_users_name", "users", ["name"])
    op.create_index("ix_orders_note", "orders", ["note"])
"""
NOW = datetime.now(UTC).replace(microsecond=0)

MakeProject = Callable[..., AlembicProject]


@pytest.fixture
def project(make_project: MakeProject) -> AlembicProject:
    made = make_project()
    made.add("0001", TABLES)
    made.add("0002", BUILDS)
    return made


def write(project: AlembicProject, *relations: RelationFacts, taken: datetime = NOW) -> Path:
    file = project.root / "facts.json"
    since = taken - timedelta(hours=1)
    file.write_text(to_json(facts(*relations, taken=taken, since=since)), encoding="utf-8")
    return file


def report(project: AlembicProject, *options: str) -> Any:
    return json.loads(evolve("lint", "0002", "--format", "json", *options, cwd=project.root).stdout)


SMALL = relation("users")
LARGE = relation("orders", rows=48_000_000, heap=12_000_000_000, index=1_000_000_000)


def test_the_report_says_what_was_quieted_and_by_which_facts(project: AlembicProject) -> None:
    file = write(project, SMALL, LARGE)

    answer = evolve("lint", "0002", "--facts", str(file), cwd=project.root)

    assert f"1 finding on small tables quieted by facts of {NOW.date()}" in answer.stdout
    assert "size: 48,000,000 rows, 13 GB; about 4 min; 0 writes/s" in answer.stdout
    assert "size: 1,000 rows, 100 kB; about 2 ms; 0 writes/s; error on a larger table" in answer.stdout


def test_json_has_the_weight_of_each_finding(project: AlembicProject) -> None:
    file = write(project, SMALL, LARGE)

    told = report(project, "--facts", str(file))

    assert {finding["severity"]: finding["weight"]["rows"] for finding in told["findings"]} == {
        "info": 1_000,
        "error": 48_000_000,
    }
    assert told["facts"]["quieted"] == 1


def test_small_tables_alone_do_not_fail_the_run(project: AlembicProject) -> None:
    file = write(project, SMALL, relation("orders"))

    assert evolve("lint", "0002", "--facts", str(file), cwd=project.root).returncode == 0


def test_the_configuration_names_the_facts_beside_itself(project: AlembicProject) -> None:
    write(project, SMALL, relation("orders"))
    (project.root / "evolve.toml").write_text('[lint]\nfacts = "facts.json"\n')

    answer = evolve("-C", str(project.root), "lint", "0002", cwd=project.root.parent)

    assert "2 findings on small tables quieted" in answer.stdout


def test_thresholds_come_from_the_configuration(project: AlembicProject) -> None:
    file = write(project, SMALL, relation("orders"))
    (project.root / "evolve.toml").write_text("[lint.sizes]\nsmall_rows = 999\n")

    assert report(project, "--facts", str(file))["facts"]["quieted"] == 0


def test_a_speed_of_nothing_is_refused(project: AlembicProject) -> None:
    (project.root / "evolve.toml").write_text("[lint.sizes]\nscan_mb_s = 0\n")

    answer = evolve("lint", "0002", cwd=project.root)

    assert answer.returncode == 2
    assert "lint.sizes.scan_mb_s" in answer.stderr


def test_stale_facts_are_used_and_said_to_be_stale(project: AlembicProject) -> None:
    file = write(project, SMALL, LARGE, taken=NOW - timedelta(days=40))

    answer = evolve("lint", "0002", "--facts", str(file), cwd=project.root)

    assert "are 40 days old: export them anew" in answer.stdout
    assert report(project, "--facts", str(file))["facts"]["stale"] is True


def test_a_table_that_the_facts_lack_is_named(project: AlembicProject) -> None:
    file = write(project, SMALL)

    answer = evolve("lint", "0002", "--facts", str(file), cwd=project.root)

    assert f"facts of {NOW.date()} do not know orders: judged as if large" in answer.stdout


def test_facts_of_another_database_are_refused(project: AlembicProject) -> None:
    file = write(project, relation("invoices"), relation("customers"))

    answer = evolve("lint", "0002", "--facts", str(file), cwd=project.root)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert "the facts know 0 of the 2 tables that the revisions use" in answer.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not json", "it is not JSON"),
        (b"{}", "these are no facts"),
        (b'{"schema": 99}', "are of format 99"),
        (b"\xff", "it is not JSON"),
    ],
)
def test_facts_that_are_none_are_refused(project: AlembicProject, content: bytes, says: str) -> None:
    file = project.root / "facts.json"
    file.write_bytes(content)

    answer = evolve("lint", "0002", "--facts", str(file), cwd=project.root)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert says in answer.stderr


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_facts_that_cannot_be_opened_are_refused(project: AlembicProject, name: str) -> None:
    answer = evolve("lint", "0002", "--facts", name, cwd=project.root)

    assert answer.returncode == 2
    assert "cannot be read" in answer.stderr


@pytest.mark.server
def test_what_a_server_exports_is_read(make_project: MakeProject, database_url: str) -> None:
    project = make_project(database_url)
    project.add("0001", TABLES)
    assert evolve("upgrade", cwd=project.root).returncode == 0
    project.add("0002", BUILDS)
    assert evolve("facts", "export", "-o", "facts.json", cwd=project.root).returncode == 0

    answer = evolve("lint", "0002", "--facts", "facts.json", cwd=project.root)

    assert "2 findings on small tables quieted" in answer.stdout


@pytest.mark.server
def test_an_export_that_cannot_be_written_is_refused(database_url: str, tmp_path: Path) -> None:
    answer = evolve(
        "facts",
        "export",
        "--database-url",
        database_url,
        "-o",
        str(tmp_path / "no" / "facts.json"),
        cwd=tmp_path,
    )

    assert (answer.returncode, answer.stdout) == (2, "")
    assert "cannot be written" in answer.stderr


@pytest.mark.server
def test_a_dash_is_standard_output(database_url: str, tmp_path: Path) -> None:
    answer = evolve("facts", "export", "--database-url", database_url, "-o", "-", cwd=tmp_path)

    assert json.loads(answer.stdout)["relations"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_report_for_which_there_is_no_room_is_refused(project: AlembicProject) -> None:
    full = ("sh", "-c", 'exec "$@" > /dev/full', "sh")

    answer = evolve("lint", "0002", "--format", "json", cwd=project.root, through=full)

    assert answer.returncode == 2
    assert "No space left" in answer.stderr
    assert "Traceback" not in answer.stderr
