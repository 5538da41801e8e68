"""What a text report folds, and what it never hides."""

from __future__ import annotations

from pathlib import Path

from evolve.lint.model import Finding, Severity
from evolve.report.folding import blocks
from evolve.sql.steps import Place

FILE = Path("0001_squashed.py")


def finding(
    line: int, rule: str = "EV104", severity: Severity = Severity.ERROR, file: Path = FILE
) -> Finding:
    return Finding(rule, f"name-of-{rule}", severity, Place(file, line), file.stem, f"at {line}", "because")


def shown(findings: list[Finding], *, width: int = 110, everything: bool = False) -> list[str]:
    return blocks(findings, lambda each: each.message, width=width, everything=everything)


def test_the_first_three_of_many_are_shown_and_the_lines_of_the_rest_are_named() -> None:
    assert shown([finding(line) for line in (3, 5, 7, 9, 10, 11, 20)]) == [
        "at 3",
        "at 5",
        "at 7\n  … and 4 more name-of-EV104 in this file, lines 9-11, 20; -v shows them",
    ]


def test_a_few_are_all_shown() -> None:
    assert len(shown([finding(line) for line in range(1, 6)])) == 5


def test_everything_is_shown_when_asked_for() -> None:
    assert shown([finding(line) for line in range(1, 8)], everything=True) == [
        f"at {line}" for line in range(1, 8)
    ]


def test_another_rule_in_between_stays_in_its_place() -> None:
    many = [finding(line) for line in (1, 2, 3, 5, 6, 7)]

    assert shown([*many[:4], finding(5, "EV999"), *many[4:]])[-1] == "at 5"


def test_an_error_is_not_folded_behind_warnings() -> None:
    warnings = [finding(line, severity=Severity.WARNING) for line in range(1, 9)]

    assert shown([*warnings, finding(99)])[-1] == "at 99"


def test_each_file_has_its_own_first_few() -> None:
    other = [finding(line, file=Path("0002_next.py")) for line in range(1, 8)]

    assert len(shown([*(finding(line) for line in range(1, 8)), *other])) == 6


def test_lines_that_are_many_wrap() -> None:
    text = shown([finding(line) for line in range(1, 141, 2)], width=40)[-1]

    assert max(len(line) for line in text.splitlines()) <= 40


def test_findings_of_the_file_as_a_whole_have_no_lines() -> None:
    assert shown([finding(0) for _ in range(7)])[-1].endswith(
        "and 4 more name-of-EV104 in this file; -v shows them"
    )
