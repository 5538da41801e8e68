"""EV831: an index with a point in time before its last key."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import key_columns, made
from evolve.sql import operations as op
from evolve.sql.steps import Step
from evolve.sql.types import base

_TIMES = frozenset({"date", "timestamp with time zone", "timestamp without time zone"})


class TimestampInMiddle(Rule):
    id = "EV831"
    name = "timestamp-in-middle"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = (
        "times are mostly asked for as ranges, and behind a range the further keys of a B-tree no longer narrow the "
        "search: all entries of the range are read"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or index.method != "btree" or index.unique:
            return
        for key, column in key_columns(index, history):
            if key is not index.keys[-1] and base(column.type) in _TIMES:
                yield self.finding(
                    step,
                    f'"{index.table.plain}.{column.name}" is a time and stands before other keys',
                    fix="put it last: first what is compared by =, then the range",
                )
                return
