"""What a lint report looks like in each format, and that its JSON keeps to the published schema."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.alembic_project import AlembicProject
from support.golden import Golden

from evolve.app.lint_revisions import Options, ask, lint
from evolve.lint.model import Coverage, Report
from evolve.lint.rules import ALL
from evolve.report import gcc, github, gitlab, junit, markdown, sarif, text
from evolve.report import json as json_report
from evolve.report.wording import coverage_line
from evolve.revisions.project import find_project

SCHEMA = Path(__file__).parents[2] / "evolve/docs/reference/lint-report.schema.json"

TABLES = """
    op.create_table("users", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("email", sa.String(50)),
    )
"""
BAD = """
    op.alter_column("orders", "email", nullable=False)  # so says the model
    op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"])
    op.alter_column("users", "name", new_column_name="full_name")
    op.execute("UPDATE orders SET email = '' WHERE email IS NULL")
    op.drop_column("orders", "email")  # evolve: allow[drop-column] because release 41 no longer maps it
    op.execute("DO $$ BEGIN EXECUTE current_user; END $$")
    if op.get_bind().execute(sa.text("SELECT count(*) FROM users")).scalar():
        op.drop_table("users")
    op.execute("ALTER TABLE users MODIFY name text")
"""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    project = AlembicProject(tmp_path)
    project.add("0001", TABLES)
    project.add("0002", BAD)
    found = find_project(tmp_path)
    return lint(found, ask(found, revisions="0001:"), Options(), ALL, clock=lambda: date(2026, 6, 1))


def test_text(report: Report, tmp_path: Path, golden: Golden) -> None:
    golden("lint/report.txt", plain(text.render(report, root=tmp_path, verbose=True)))


def test_text_of_a_narrow_terminal(report: Report, tmp_path: Path, golden: Golden) -> None:
    golden("lint/report_narrow.txt", plain(text.render(report, root=tmp_path, width=60)))


def test_a_reason_is_given_once(tmp_path: Path) -> None:
    project = AlembicProject(tmp_path)
    project.add("0001", TABLES)
    project.add("0002", '    op.drop_column("orders", "email")\n    op.drop_column("users", "name")')
    found = find_project(tmp_path)
    report = lint(found, ask(found, revisions="0002"), Options(), ALL)

    shown = plain(text.render(report, root=tmp_path, width=400))

    [why] = {each.why for each in report.findings}
    assert [line for line in shown.splitlines() if "why:" in line] == [f"  why: {why}", "  why: as above"]


def test_json(report: Report, tmp_path: Path, golden: Golden) -> None:
    golden("lint/report.json", json_report.render(report, root=tmp_path) + "\n")


def test_markdown(report: Report, tmp_path: Path, golden: Golden) -> None:
    golden("lint/report.markdown.txt", markdown.render(report, root=tmp_path) + "\n")


def test_github(report: Report, tmp_path: Path, golden: Golden) -> None:
    golden("lint/report.github.txt", github.render(report, root=tmp_path) + "\n")


def test_gitlab(report: Report, tmp_path: Path, golden: Golden) -> None:
    golden("lint/report.gitlab.json", gitlab.render(report, root=tmp_path) + "\n")


def test_sarif(report: Report, tmp_path: Path, golden: Golden) -> None:
    document = json.loads(sarif.render(report, root=tmp_path, rules=ALL))
    driver = document["runs"][0]["tool"]["driver"]
    driver["version"] = "…"
    for rule in driver["rules"]:
        rule["help"]["markdown"] = "…"  # the rule's page

    golden("lint/report.sarif", json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def test_junit(report: Report, tmp_path: Path, golden: Golden) -> None:
    golden("lint/report.junit.xml", junit.render(report, root=tmp_path) + "\n")


def test_gcc(report: Report, tmp_path: Path, golden: Golden) -> None:
    golden("lint/report.gcc.txt", gcc.render(report, root=tmp_path) + "\n")


def test_json_keeps_to_the_schema(report: Report, tmp_path: Path) -> None:
    document = json.loads(json_report.render(report, root=tmp_path))

    assert violations(document) == []


def test_schema_refuses_another_severity(report: Report, tmp_path: Path) -> None:
    document = json.loads(json_report.render(report, root=tmp_path))
    document["findings"][0]["severity"] = "fatal"

    assert violations(document) != []


@pytest.mark.parametrize(
    ("coverage", "line"),
    [
        (Coverage(1, 1, 1), "1 of 1 statement read"),
        (Coverage(9, 214, 212, 2), "212 of 214 statements read, 2 revisions depend on data"),
        (
            Coverage(9, 3, 3, 1, 1),
            "3 of 3 statements read, 1 revision depends on data, 1 revision not read to the end",
        ),
    ],
)
def test_coverage_line(coverage: Coverage, line: str) -> None:
    assert coverage_line(coverage) == line


def test_nothing_to_check_is_said() -> None:
    assert plain(text.render(Report((), (), Coverage()))) == "no revisions to check\n"


def plain(styled: str) -> str:
    import click

    return click.unstyle(styled) + "\n"


def violations(document: Any) -> list[str]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]
