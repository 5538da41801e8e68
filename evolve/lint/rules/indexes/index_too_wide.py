"""EV822: an index over many columns."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import made, name_of
from evolve.sql import operations as op
from evolve.sql.steps import Step

_MOST = 3


class IndexTooWide(Rule):
    id = "EV822"
    name = "index-too-wide"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    peers = ("strong_migrations:add_index_columns",)
    why = (
        "after the first few columns hardly any row is left to tell apart, while each one makes the index larger and "
        "more updates write to it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is not None and not index.unique and len(index.keys) > _MOST:
            yield self.finding(
                step,
                f'index "{name_of(index)}" of "{index.table.plain}" has {len(index.keys)} keys',
                fix="keep those that tell most rows apart; INCLUDE what is only read",
            )
