"""The change of a run that walks places: a row that still fits the predicate once it is written stops it."""

from __future__ import annotations

from psycopg import sql

from evolve.backfill.ports import DatabaseFailure, Lease, Piece
from evolve.backfill.spec import Spec
from evolve.errors import Refused
from evolve.postgres.backfill_target import Target
from evolve.postgres.composing import written
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import CUTS, cut_of, piece_values
from evolve.postgres.statements import statement


class StillFits(Refused):
    def __init__(self, spec: Spec, rows: int) -> None:
        super().__init__(
            f'backfill "{spec.name}" would write the same rows again: {rows} of a batch still fit {spec.where!r}'
            " after they were written",
            why="a row without a key moves when it is written, so only the predicate tells that it was done; the batch"
            " was rolled back",
            fix="give --where a predicate that a written row does not fit, or walk a unique key",
        )


class Unkeyed:
    """One UPDATE per piece, which looks at the rows that it wrote."""

    def __init__(self, spec: Spec, target: Target) -> None:
        self._spec = spec
        self._statements = {
            cut: sql.SQL(
                "WITH written AS ({} RETURNING {} AS fits)"
                " SELECT count(*), count(*) FILTER (WHERE fits) FROM written"
            )
            .format(statement(spec, target, cut), written(spec.where or "false"))
            .as_bytes()
            for cut in CUTS
        }

    def begin(self) -> bool:
        return False

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        # RowExclusive and row locks until COMMIT, for a few milliseconds.
        row = connection.execute(self._statements[cut_of(piece)], piece_values(piece)).fetchone()
        rows, fitting = (int(str(each)) for each in row) if row else (0, 0)
        if fitting:
            raise StillFits(self._spec, fitting)
        return rows

    def failed(self, failure: DatabaseFailure) -> None:
        pass
