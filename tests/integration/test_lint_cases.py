"""The labels of the lint cases are what a server does, and evolve finds the hazards and nothing else."""

from __future__ import annotations

from functools import partial

import pytest
from cases import FOLDER, Case, all_cases
from score import findings_in
from support.servers import MakeDatabase, MakeTemplate
from truth import measure, prepare, recordings_of

from evolve.app.lint_revisions import Options, ask, lint
from evolve.lint.model import Severity
from evolve.lint.rules import ALL
from evolve.revisions.project import find_project

CASES = all_cases()
# Found although the label says that no server minds.
BEYOND_A_SERVER = {
    "add_column_references": "a foreign key without an index costs every delete of its target",
    "enum_add_value": "readers of the old release do not know the value, once one is stored",
}


@pytest.mark.server
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_label_is_what_a_server_does(
    case: Case, make_database: MakeDatabase, make_template: MakeTemplate
) -> None:
    *before, judged = recordings_of(case)
    names = " ".join(each.revision for each in before)
    url = make_database(make_template(f"before lint cases: {names}", partial(prepare, before)))
    assert measure(judged, url) == case.hazards


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_evolve_flags_what_is_hazardous(case: Case) -> None:
    project = find_project(FOLDER)

    report = lint(project, ask(project, revisions=case.name), Options(), ALL)

    flagged = report.blocks(Severity.WARNING)
    assert flagged == (bool(case.hazards) or case.name in BEYOND_A_SERVER)


@pytest.mark.parametrize(
    ("printed", "levels"),
    [
        ([], []),
        ([{"line": 3, "rule_name": "x", "level": "Warning"}], [2]),
        ({"findings": [{"line": 3, "rule": "EV101", "severity": "error", "why": {"line": 1}}]}, [3]),
        ({"diagnostics": [{"line": 1, "rule_id": "R001"}], "summary": {"total": 1}}, [3]),
    ],
)
def test_findings_of_any_tool_are_counted(printed: object, levels: list[int]) -> None:
    assert list(findings_in(printed)) == levels
