"""Several versions of PostgreSQL as one judgement."""

from __future__ import annotations

from pathlib import Path

from evolve.lint.model import Finding, Severity
from evolve.lint.versions import worst_findings
from evolve.sql.steps import Place


def finding(
    rule: str, severity: Severity = Severity.ERROR, *, revision: str = "b", line: int = 1, message: str = ""
) -> Finding:
    return Finding(rule, "name", severity, Place(Path("a.py"), line), revision, message or rule, "why")


def test_what_is_found_on_each_version_is_told_once() -> None:
    assert worst_findings({14: [finding("EV1")], 18: [finding("EV1")]}, ["b"]) == (finding("EV1"),)


def test_what_is_found_on_some_versions_names_them() -> None:
    (found,) = worst_findings({14: [finding("EV1")], 16: [finding("EV1")], 18: []}, ["b"])
    assert found.versions == (14, 16)


def test_the_most_severe_counts_whatever_it_says() -> None:
    mild = finding("EV1", Severity.WARNING, message="it waits")
    (found,) = worst_findings({14: [finding("EV1", message="it rewrites")], 18: [mild]}, ["b"])
    assert (found.severity, found.message, found.versions) == (Severity.ERROR, "it rewrites", ())


def test_two_of_one_rule_in_one_line_stay_two() -> None:
    both = [finding("EV1", message="first"), finding("EV1", message="second")]
    assert worst_findings({14: both, 18: both}, ["b"]) == tuple(both)


def test_order_is_that_of_revisions_and_lines() -> None:
    late, early = finding("EV1", line=9), finding("EV2", line=2)
    other = finding("EV3", revision="a")
    found = worst_findings({14: [late], 18: [other, early]}, ["a", "b"])
    assert [each.rule for each in found] == ["EV3", "EV2", "EV1"]
