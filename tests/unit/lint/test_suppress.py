"""Comments that allow findings: what they speak for, what they must say, and what becomes of those that are wrong."""

from __future__ import annotations

import textwrap
from datetime import date
from pathlib import Path

import pytest

from evolve.lint.model import Finding, Severity
from evolve.lint.rules import ALL
from evolve.lint.suppress import Judged, Silence, Silences, suppress
from evolve.sql.steps import Place

FILE = Path("0001_first.py")
TODAY = date(2026, 6, 1)


def finding(line: int, rule: str = "EV204", name: str = "drop-column") -> Finding:
    return Finding(rule, name, Severity.ERROR, Place(FILE, line), "0001", "it is dropped", "it is gone")


def silence(source: str, *findings: Finding, ignore: tuple[str, ...] = ()) -> Silence:
    judged = Judged({FILE: ("0001", textwrap.dedent(source).lstrip())}, ALL)
    return suppress(findings, ALL, TODAY, judged, Silences(ignore))


def names(result: Silence) -> list[str]:
    return [each.name for each in result.findings]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('op.drop_column("t", "c")  # evolve: allow[drop-column] because nobody maps it', 1),
        ('# evolve: allow[drop-column] because nobody maps it\nop.drop_column("t", "c")', 2),
        ('# evolve: allow[EV204] because nobody maps it\nop.drop_column("t", "c")', 2),
        ('# evolve: allow[drop-column] because nobody maps it\n# a word more\n\nop.drop_column("t", "c")', 4),
        ('op.drop_column(\n    "t",  # evolve: allow[drop-column] because nobody maps it\n    "c",\n)', 1),
        ('op.drop_column(\n    "t",\n    "c",\n)  # evolve: allow[drop-column] because nobody maps it', 2),
        (
            'op.execute("""\nALTER TABLE t\nDROP COLUMN c""")  # evolve: allow[drop-column] because nobody maps it',
            1,
        ),
        ("# evolve: allow[drop-table, drop-column] because nobody maps it\nx = 1", 2),
        ("# evolve: allow[drop-column] until 2026-06-01 because nobody maps it\nx = 1", 2),
        ("# evolve: allow-file[drop-column] because nobody maps it\n\n\n\nx = 1", 5),
        ("#evolve:allow [drop-column] because nobody maps it\nx = 1", 2),
    ],
)
def test_comment_allows_the_finding(source: str, line: int) -> None:
    result = silence(source, finding(line), finding(line, "EV401", "drop-table"))

    assert [each.finding.rule for each in result.suppressed if each.finding.rule == "EV204"] == ["EV204"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("# evolve: allow[drop-column] because nobody maps it\nx = 1\ny = 2", 3),
        ("x = 1  # evolve: allow[drop-column] because nobody maps it\ny = 2", 2),
        ('x = "# evolve: allow[drop-column] because nobody maps it"', 1),
        ('x = """\n# evolve: allow[drop-column] because nobody maps it\n"""', 2),
    ],
)
def test_comment_speaks_for_its_own_statement_only(source: str, line: int) -> None:
    assert "drop-column" in names(silence(source, finding(line)))


def test_reason_is_kept() -> None:
    result = silence(
        "x = 1  # evolve: allow[drop-column] because release 41, and all since, do not map it", finding(1)
    )

    assert result.suppressed[0].reason == "release 41, and all since, do not map it"


def test_one_comment_serves_every_finding_of_a_loop() -> None:
    result = silence("x = 1  # evolve: allow[drop-column] because nobody maps them", finding(1), finding(1))

    assert (len(result.suppressed), result.findings) == (2, ())


@pytest.mark.parametrize(
    ("comment", "complaint"),
    [
        ("allow[drop-column]", "allow-without-reason"),
        ("allow[drop-column] because", "allow-without-reason"),
        ("allow[drop-column] until 2026-05-31 because nobody maps it", "allow-expired"),
        ("allow[drop-column] until soon because nobody maps it", "allow-unreadable"),
        ("allow[] because nobody maps it", "allow-unreadable"),
        ("allow drop-column because nobody maps it", "allow-unreadable"),
        ("allow[drop-column] nobody maps it", "allow-unreadable"),
        ("ignore[drop-column]", "allow-unreadable"),
        ("allow[drop-colum] because nobody maps it", "allow-unknown-rule"),
    ],
)
def test_comment_that_is_wrong_allows_nothing_and_is_a_finding(comment: str, complaint: str) -> None:
    assert names(silence(f"x = 1  # evolve: {comment}", finding(1))) == ["drop-column", complaint]


def test_unknown_rule_names_the_nearest() -> None:
    result = silence("x = 1  # evolve: allow[drop-colum] because nobody maps it")

    assert result.findings[0].fix == "did you mean drop-column?"


def test_unused_comment_is_a_finding() -> None:
    result = silence("x = 1  # evolve: allow[drop-column] because nobody maps it")

    assert [(each.name, each.place.line) for each in result.findings] == [("allow-unused", 1)]


def test_each_name_of_a_comment_must_be_used() -> None:
    result = silence("x = 1  # evolve: allow[drop-column, drop-table] because nobody uses it", finding(1))

    assert [each.message for each in result.findings] == [
        "the comment allows drop-table, and there is no such finding here"
    ]


def test_line_is_asked_before_file() -> None:
    source = """
        # evolve: allow-file[drop-column] because of the file
        x = 1  # evolve: allow[drop-column] because of the line
        y = 2
    """

    result = silence(source, finding(2), finding(3))

    assert [each.reason for each in result.suppressed] == ["of the line", "of the file"]


def test_configuration_ignores_rules() -> None:
    result = silence("x = 1", finding(1), finding(1, "EV401", "drop-table"), ignore=("EV204", "EV401"))

    assert (result.findings, [each.place for each in result.suppressed]) == ((), [None, None])


def test_complaints_can_be_ignored_by_configuration() -> None:
    result = silence("x = 1  # evolve: allow[drop-column] because nobody maps it", ignore=("EV922",))

    assert result.findings == ()


def test_comment_of_a_file_that_is_no_python_is_still_read() -> None:
    source = "x = (  # evolve: allow[drop-column] because nobody maps it\n"

    assert names(silence(source)) == ["allow-unused"]


def test_windows_line_ends_count_as_one() -> None:
    result = silence("x = 1\r\n# evolve: allow[drop-column] because nobody maps it\r\ny = 2\r\n", finding(3))

    assert result.findings == ()
