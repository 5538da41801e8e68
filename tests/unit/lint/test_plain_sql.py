"""What is said of files of plain SQL speaks of nothing that only Alembic has."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolve.app.explain_rule import all_rules
from evolve.lint.model import Finding, Severity
from evolve.lint.plain_sql import in_plain_sql
from evolve.lint.rule import Rule
from evolve.sql.steps import Place

ALEMBIC = re.compile(
    r"alembic|env\.py|upgrade\(\)|\ba downgrade|autocommit.block|autogenerate|\brevision|get_context",
    re.IGNORECASE,
)
# They look at what is written in Python, or at where a revision stands in its history.
OF_REVISIONS = {"EV655", "EV656", "EV658", "EV659", "EV660", "EV661", "EV663", "EV664"}


def _of_scripts() -> list[Rule]:
    return [
        rule for rule in all_rules() if type(rule).check is not Rule.check and rule.id not in OF_REVISIONS
    ]


def _said(text: str) -> str:
    finding = Finding("EV101", "x", Severity.ERROR, Place(Path("a.sql"), 1), "a.sql", text, "because")
    return in_plain_sql(finding).message


def _texts(rule: Rule) -> Iterator[str]:
    """What stands as text in the rule's module, without docstrings."""
    tree = ast.parse(Path(sys.modules[type(rule).__module__].__file__ or "").read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("rule", _of_scripts(), ids=lambda rule: rule.id)
def test_no_rule_speaks_of_alembic(rule: Rule) -> None:
    told = [_said(text) for text in (rule.why, *_texts(rule)) if text != rule.name]

    assert [text for text in told if ALEMBIC.search(text)] == []


def test_code_that_alembic_would_run_is_the_sql_in_it() -> None:
    told = _said('add a revision: op.execute("ALTER TABLE \\"a\\" VALIDATE CONSTRAINT c")')

    assert told == 'add a script: ALTER TABLE "a" VALIDATE CONSTRAINT c'


def test_why_and_fix_are_put_in_other_words_too() -> None:
    finding = Finding(
        "EV101",
        "x",
        Severity.ERROR,
        Place(Path("a.sql"), 1),
        "a.sql",
        "m",
        "in the revision",
        fix="split the revision",
    )

    told = in_plain_sql(finding)

    assert (told.why, told.fix) == ("in the script", "split the script")
