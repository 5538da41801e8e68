"""EV741: columns in an order that wastes bytes of every row on alignment."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

# typlen and typalign of pg_type.
_SIZES = {
    "bigint": 8,
    "boolean": 1,
    "date": 4,
    "double precision": 8,
    "integer": 4,
    "real": 4,
    "smallint": 2,
    "time without time zone": 8,
    "timestamp with time zone": 8,
    "timestamp without time zone": 8,
}
_WORTH_SAYING = 8


class ColumnOrderPadding(Rule):
    id = "EV741"
    name = "column-order-padding"
    severity = Severity.INFO
    looks_at = (op.CreateTable,)
    opt_in = True
    why = "a value of eight bytes begins at a multiple of eight: what stands before it is filled up, in every row"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTable(table=table, columns=columns, temporary=False):
                pass
            case _:
                return
        sizes = [_SIZES.get(column.type, 0) for column in columns]
        # Columns of other lengths end the part in which every place is known.
        known = sizes[: sizes.index(0)] if 0 in sizes else sizes
        wasted = _padding(known) - _padding(sorted(known, reverse=True))
        if wasted >= _WORTH_SAYING:
            yield self.finding(
                step,
                f'the order of columns of "{table.plain}" wastes {wasted} bytes in every row',
                fix="first the columns of eight bytes, then of four, of two, of one, then text and the like",
            )


def _padding(sizes: list[int]) -> int:
    """Bytes of padding between values of these sizes, each aligned to its own size, the row to eight."""
    at = wasted = 0
    for size in (*sizes, 8):
        gap = -at % size
        wasted += gap
        at += gap + size
    return wasted
