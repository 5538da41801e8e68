"""What a worker walks on: the table of its run or one of its leaves, with the statements for it; and what is done where
it was altered meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evolve.backfill.ports import DatabaseFailure, Lease, Piece
from evolve.backfill.spec import Spec
from evolve.errors import EvolveError
from evolve.postgres import journal
from evolve.postgres.backfill_target import Target, read_target
from evolve.postgres.changing import Change
from evolve.postgres.connect import Connection
from evolve.postgres.drift import TableAltered, mark, mark_of
from evolve.postgres.leaves import target_of, with_leaves
from evolve.postgres.plan_check import check_rows
from evolve.postgres.walking import Walk


class Ground:
    """A table, and what is said to it.

    Args:
        checkpoint: see `journal.checkpointing`; it answers what `target.mark` is by now.
    """

    def __init__(self, spec: Spec, target: Target, change: Change) -> None:
        self._spec = spec
        self.target = target
        self.change = change
        self.walk = Walk(target)
        self.checkpoint = journal.checkpointing(mark(target.table, target.oid))

    def check_plan(self, connection: Connection, piece: Piece) -> None:
        """Look at the plan of a batch that goes on.

        Raises:
            PlanIgnoresKey
        """
        check_rows(connection, self._spec, self.target, piece)


class Gone:
    """What is done to a leaf that is no part of the table any more: its rows are not this run's."""

    def begin(self) -> bool:
        return False

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        return 0

    def failed(self, failure: DatabaseFailure) -> None:
        pass


class Nothing(Ground):
    """In the place of a leaf that is gone: no key is found on it."""

    def __init__(self, spec: Spec, target: Target, change: Change) -> None:
        super().__init__(spec, target, change)
        self.walk = Walk(target, empty=True)

    def check_plan(self, connection: Connection, piece: Piece) -> None:
        pass


class Grounds:
    """The grounds of one worker, read when they are first walked, and again where they were altered.

    Args:
        change: makes what a batch does, for a table.
        say: told of leaves that are gone.
    """

    def __init__(
        self, spec: Spec, target: Target, change: Callable[[Target], Change], say: Callable[[str], None]
    ) -> None:
        # The key is the run's own: an index made since must not change the order of the walk.
        self._spec = replace(spec, key=tuple(column.name for column in target.key))
        self._change = change
        self._say = say
        self._known: dict[int, Ground] = {}
        self.whole = Ground(self._spec, target, change(target))

    def of(self, connection: Connection, lease: Lease) -> Ground:
        if lease.leaf is None:
            return self.whole
        oid = lease.leaf.oid
        if oid not in self._known:
            target = target_of(connection, self.whole.target, lease.leaf)
            if target is not None:
                self._known[oid] = Ground(self._spec, target, self._change(target))
            else:
                self._known[oid] = Nothing(self._spec, self.whole.target, Gone())
                self._say(
                    f'"{lease.leaf.name.plain}" is no partition of "{self._spec.table.plain}" any more: its rows are'
                    " left as they are"
                )
        return self._known[oid]

    def look_again(self, connection: Connection, lease: Lease) -> bool:
        """Read the table again where it was altered; whether it was.

        Raises:
            TableAltered: the run cannot go on with what it is now.
        """
        target = self.of(connection, lease).target
        if mark_of(connection, target.table, target.oid) == target.mark:
            return False
        old = self.whole.target
        try:
            new = read_target(
                connection, self._spec, plain_sql=old.plain_sql, newest_first=old.key[0].falling
            )
            if old.leaves:
                new = with_leaves(connection, new)
        except EvolveError as error:
            raise TableAltered(self._spec.name, self._spec.table, error.what) from error
        reason = _difference(old, new)
        if reason is not None:
            raise TableAltered(self._spec.name, self._spec.table, reason)
        self._known.clear()
        self.whole = Ground(self._spec, new, self._change(new))
        return True


def _difference(old: Target, new: Target) -> str | None:
    """Why a run that began on `old` cannot go on with `new`."""
    if new.oid != old.oid:
        return "another table has taken its name"
    if new.key != old.key or new.collations != old.collations:
        return f"its key ({', '.join(column.name for column in old.key)}) has another type or order now"
    for was, now in zip(old.columns, new.columns, strict=True):
        if was != now:
            return f'column "{now.name}" was of type {was.type} and is of type {now.type} now'
    return None
