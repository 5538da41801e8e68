"""Takes a `History` back to where a stretch of statements began that is rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import fields, replace

from evolve.lint.advance import only_new, what_is_new
from evolve.lint.history import History, Transaction
from evolve.lint.model import Finding
from evolve.sql.schema import Schema
from evolve.sql.steps import Step


class Undo:
    """Keeps what is known at the begin of each stretch that is taken back; without any it costs nothing."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._open: list[tuple[int, Callable[[], None]]] = []

    def enter(self, step: Step | None) -> None:
        """Stand before `step`, or behind the last one: what ended before it is as if it had never been."""
        regions = step.statement.undone if step is not None else ()
        kept = 0
        while kept < min(len(self._open), len(regions)) and self._open[kept][0] == regions[kept]:
            kept += 1
        if kept < len(self._open):
            self._open[kept][1]()
            del self._open[kept:]
        self._open += [(region, _way_back(self._history)) for region in regions[kept:]]


def lasting(findings: Iterator[Finding], step: Step) -> Iterator[Finding]:
    """Of what is taken back only the wait for its locks is left, what PostgreSQL refuses, and what was not read."""
    for finding in findings:
        if not step.statement.undone:
            yield finding
        elif finding.fails or finding.rule.startswith(("EV1", "EV9")):
            yield replace(finding, breaks_old_code=False, breaks_new_code=False)


def _way_back(history: History) -> Callable[[], None]:
    schema, transaction, steps = history.schema.copy(), _copied(history.transaction), len(history.steps)
    new = what_is_new(history)

    def bring_back() -> None:
        for part in fields(Schema):
            setattr(history.schema, part.name, getattr(schema, part.name))
        history.transaction = transaction
        history.steps.cut(steps)
        only_new(history, new)

    return bring_back


def _copied(transaction: Transaction) -> Transaction:
    return replace(
        transaction, **{part.name: copy(getattr(transaction, part.name)) for part in fields(Transaction)}
    )
