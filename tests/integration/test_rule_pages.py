"""The page of every rule: its examples are found as marked, run on a server, and take the locks that are claimed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from support.servers import MakeDatabase, MakeTemplate

from evolve.lint.model import Finding
from evolve.lint.rule import Rule
from evolve.lint.rules import ALL
from evolve.postgres.connect import connect
from evolve.postgres.scratch import Server
from evolve.revisions.history import read_history
from evolve.revisions.project import find_project
from evolve.revisions.read import record
from evolve.sql.steps import Recording
from evolve.testing.rule_claims import wrong_claims
from evolve.testing.rule_pages import Example, RulePages, examples, found, lint_example, safe_form

# What these pages show does not reach a server as it stands: text that is no SQL, code that raises or never ends, or
# a tablespace, which lies in a folder of the server's machine.
UNREADABLE = (
    "unread-statement",
    "revision-raised",
    "revision-timed-out",
    "revision-not-loaded",
    "set-tablespace",
)
# What fails on servers before a version, and only there.
FAILS_BEFORE = {"needs-newer-postgres": 18}
# What a version does, and the next one refuses.
UNTIL = {"attach-partition-identity": 17}
# What needs an extension that the scratch servers do not have.
WITH_EXTENSION = "Safe: with the extension"
EXTENSION = ("index-vector-parameters", "hstore-column")


def runs(example: Example) -> bool:
    name = example.rule.name
    return (
        (example.safe or name not in UNREADABLE)
        and name not in EXTENSION
        and example.heading != WITH_EXTENSION
    )


EVERY = [example for rule in ALL for example in examples(rule)]
EXAMPLES = [example for example in EVERY if runs(example)]


class TestPages(RulePages):
    """What runs on a server is linted for that, and looked at there."""

    rules: ClassVar[Sequence[Rule]] = ALL

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "example" in metafunc.fixturenames:
            metafunc.parametrize("example", [each for each in EVERY if not runs(each)], ids=str)
        else:
            super().pytest_generate_tests(metafunc)


def recorded(directory: Path) -> list[Recording]:
    project = find_project(directory)
    history = read_history(project)
    return record(project, history.order(history.revisions.keys()), time_limit=1.0)


def skip_on_older(example: Example, server: Server) -> None:
    if example.needs is not None and server.version < example.needs:
        pytest.skip(f"the example needs PostgreSQL {example.needs}, and this is {server.version}")


def skip_on_newer(example: Example, server: Server) -> None:
    before = FAILS_BEFORE.get(example.rule.name) or UNTIL.get(example.rule.name)
    if before is not None and not example.safe and server.version >= before:
        pytest.skip(f"the example is for servers before PostgreSQL {before}, and this is {server.version}")


Compare = Callable[[Path, Sequence[Finding]], list[str]]


@pytest.fixture
def run_and_compare(make_database: MakeDatabase, make_template: MakeTemplate) -> Compare:
    """Runs a project's revisions in a fresh database; returns what is wrong about the claims of the findings."""

    def compare(directory: Path, findings: Sequence[Finding]) -> list[str]:
        common, *recordings = recorded(directory)

        def fill(url: str) -> None:
            with connect(url, autocommit=True) as connection:
                assert list(wrong_claims(connection, [common], ())) == []

        with connect(
            make_database(make_template("what pages start from", fill)), autocommit=True
        ) as connection:
            applied = [each.revision for each in recordings if each.revision.startswith("setup")]
            return list(wrong_claims(connection, recordings, findings, applied))

    return compare


@pytest.mark.server
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_claims_are_what_a_server_does(
    example: Example, tmp_path: Path, run_and_compare: Compare, scratch_server: Server
) -> None:
    report = lint_example(tmp_path, example, ALL)
    assert found(report) == example.marked

    skip_on_older(example, scratch_server)
    skip_on_newer(example, scratch_server)
    assert run_and_compare(tmp_path, report.findings) == []


@pytest.mark.server
@pytest.mark.parametrize("example", [each for each in EXAMPLES if not each.safe], ids=str)
def test_safe_forms_run(
    example: Example, tmp_path: Path, run_and_compare: Compare, scratch_server: Server
) -> None:
    report = lint_example(tmp_path / "unsafe", example, ALL)

    # Those of other rules are run where their own pages are.
    own = [finding for finding in report.findings if finding.safe and finding.rule == example.rule.id]
    for number, finding in enumerate(own):
        directory = tmp_path / f"safe{number}"
        offered = lint_example(directory, safe_form(example, finding), ALL)
        assert not offered.findings
        skip_on_older(example, scratch_server)
        skip_on_newer(example, scratch_server)
        assert run_and_compare(directory, offered.findings) == []
