"""What the grammar of rule pages says beyond marks: versions in headings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Step
from evolve.testing.rule_pages import Example, examples, found, lint_example

PAGE = """
# ACME1 for-new-servers
Something happens.

## Unsafe: on every version
```python
def upgrade():
    op.drop_column("users", "name")
```

## Unsafe: from 18 on (PostgreSQL 18)
```python
def upgrade():
    op.drop_column("users", "name")  # finding: ACME1
```
"""


class ForNewServers(Rule):
    id = "ACME1"
    name = "for-new-servers"
    severity = Severity.WARNING
    why = "a server of version 18 has it"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if history.postgres_version >= 18:
            yield self.finding(step, "found")

    @property
    def page(self) -> str:
        return PAGE


@pytest.mark.parametrize("example", examples(ForNewServers()), ids=str)
def test_an_example_is_judged_for_the_version_in_its_heading(tmp_path: Path, example: Example) -> None:
    report = lint_example(tmp_path, example, [ForNewServers()])

    assert found(report) == example.marked


def test_the_version_in_a_heading_is_what_the_example_needs() -> None:
    assert [example.needs for example in examples(ForNewServers())] == [None, 18]
