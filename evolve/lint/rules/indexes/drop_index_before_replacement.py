"""EV819: an index goes before the one that takes its place is there."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import made, name_of
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DropIndexBeforeReplacement(Rule):
    id = "EV819"
    name = "drop-index-before-replacement"
    severity = Severity.WARNING
    looks_at = (op.CreateIndex,)
    why = (
        "between the two every query that used the index reads the whole table, for as long as the build takes, and "
        "for good if it fails"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or not history.in_use(index.table):
            return
        for name, (gone, dropped) in history.dropped_indexes.items():
            same_transaction = step.transaction is not None and dropped.transaction == step.transaction
            if gone.table != index.table or same_transaction or not _takes_its_place(index, gone):
                continue
            if any(
                _takes_its_place(i.definition, gone)
                for i in history.schema.indexes_of(index.table)
                if i.valid
            ):
                continue
            yield self.finding(
                dropped,
                f'index "{name.plain}" of "{index.table.plain}" goes before "{name_of(index)}" is there in its place',
                fix="build the new one first, under another name; then drop the old one",
            )


def _takes_its_place(index: op.IndexDefinition, gone: op.IndexDefinition) -> bool:
    return (
        index.method == gone.method and index.keys[:1] == gone.keys[:1] and index.where in (None, gone.where)
    )
