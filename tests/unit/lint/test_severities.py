"""Which severity findings have where the settings choose one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evolve.lint.lookup import UnknownRule
from evolve.lint.model import Finding, Severity, Weight
from evolve.lint.rules import ALL
from evolve.lint.settings import SeveritySetting
from evolve.lint.severities import TwoSeverities, severities, with_severity
from evolve.sql.steps import Place

DROP = Finding(
    "EV204", "drop-column", Severity.ERROR, Place(Path("0001.py"), 1), "0001", "it is dropped", "it is gone"
)


@pytest.mark.parametrize("word", ["EV204", "ev204", "drop-column", "2xx", "all"])
def test_rule_is_named_by_id_name_or_family(word: str) -> None:
    assert severities([SeveritySetting(word, "info")], ALL)["EV204"] == "info"


@pytest.mark.parametrize("turned", [False, True])
def test_what_names_the_rule_goes_before_its_family_and_that_before_all(turned: bool) -> None:
    settings = [
        SeveritySetting("all", "error"),
        SeveritySetting("2xx", "off"),
        SeveritySetting("EV204", "info"),
    ]

    found = severities(settings[::-1] if turned else settings, ALL)

    assert (found["EV204"], found["EV202"], found["EV101"]) == ("info", "off", "error")


def test_rule_that_is_named_twice_must_be_so_alike() -> None:
    with pytest.raises(TwoSeverities, match='"EV204" and "drop-column", and makes it info and error'):
        severities([SeveritySetting("EV204", "info"), SeveritySetting("drop-column", "error")], ALL)


def test_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UnknownRule, match='did you mean "drop-column"'):
        severities([SeveritySetting("drop-colum", "info")], ALL)


def test_severity_is_the_one_chosen() -> None:
    assert with_severity(DROP, {"EV204": "info"}).severity is Severity.INFO


def test_finding_of_another_rule_keeps_its_own() -> None:
    assert with_severity(DROP, {"EV205": "info"}) == DROP


@pytest.mark.parametrize(
    ("chosen", "severity", "before", "expected"),
    [
        ("error", Severity.INFO, Severity.WARNING, Severity.INFO),
        ("warning", Severity.ERROR, Severity.WARNING, Severity.ERROR),
        ("info", Severity.ERROR, Severity.WARNING, Severity.WARNING),
        ("error", Severity.ERROR, Severity.WARNING, Severity.ERROR),
    ],
    ids=[
        "small table stays information",
        "hot one is a step up",
        "from information too",
        "never above error",
    ],
)
def test_sizes_weigh_what_is_chosen(
    chosen: str, severity: Severity, before: Severity, expected: Severity
) -> None:
    weighed = replace(DROP, severity=severity, weight=Weight(1, 1, None, None, before))

    found = with_severity(weighed, {"EV204": chosen})  # type: ignore[dict-item]

    assert found.severity is expected
