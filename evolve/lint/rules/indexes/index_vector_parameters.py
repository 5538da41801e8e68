"""EV832: an index of pgvector whose quality is left to chance."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import made, name_of
from evolve.sql import operations as op
from evolve.sql.steps import Step


class IndexVectorParameters(Rule):
    id = "EV832"
    name = "index-vector-parameters"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = (
        "these indexes answer approximately: with parameters that do not fit the table, or with clusters made from no "
        "rows, queries miss near neighbours and nothing says so"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None:
            return
        named = f'index "{name_of(index)}" of "{index.table.plain}"'
        options = {option.lower() for option in index.options}
        if index.method == "ivfflat" and not history.in_use(index.table):
            yield self.finding(
                step,
                f"{named} makes its clusters from the rows that are there, and the table is new",
                fix="build it once the table is filled, or use hnsw, which needs no rows to begin with",
            )
        elif index.method == "ivfflat" and "lists" not in options:
            yield self.finding(
                step,
                f"{named} takes 100 lists, whatever the size of the table",
                fix="say lists: about rows / 1000, and from a million rows on the square root of their number",
            )
        elif index.method == "hnsw" and not options & {"m", "ef_construction"}:
            yield self.finding(
                step,
                f"{named} takes the parameters of a small table",
                fix="say m and ef_construction, and raise maintenance_work_mem for the build",
            )
