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
from evolve.postgres.kept import ValueOverwritten, kept
from evolve.postgres.leaves import target_of, with_leaves
from evolve.postgres.plan_check import check_rows
from evolve.postgres.walking import Walk


class Ground:
    """A table, and what is said to it.

    Args:
        checkpoint: see `journal.checkpointing`; it answers what `target.mark` is by now.
        proven: rows were seen to keep what a batch gives them, or nothing else writes them.
    """

    def __init__(self, spec: Spec, target: Target, change: Change) -> None:
        self._spec = spec
        self.target = target
        self.change = change
        self.walk = Walk(target)
        self.checkpoint = journal.checkpointing(mark(target.table, target.oid))
        self.proven = False

    def prove(self, connection: Connection, piece: Piece) -> bool:
        """Look once whether rows keep what they are given; whether that is known now.

        Raises:
            ValueOverwritten: a trigger leaves other values.
            psycopg.Error: a row cannot be written, or the like; under a savepoint.
        """
        found = kept(connection, self._spec, self.target, piece)
        if found is not None and found.column is not None:
            raise ValueOverwritten(self._spec, found)
        return found is None or found.rows > 0

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
        self.proven = True

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
        new = read_again(connection, self._spec, self.whole.target)
        self._known.clear()
        self.whole = Ground(self._spec, new, self._change(new))
        return True


def read_again(connection: Connection, spec: Spec, old: Target, *, undoing: bool = False) -> Target:
    """What `old` is by now.

    Args:
        spec: with the key of the run.

    Raises:
        TableAltered: the run cannot go on with that.
    """
    try:
        new = read_target(connection, spec, plain_sql=old.plain_sql, newest_first=old.key[0].falling)
        if old.leaves:
            new = with_leaves(connection, new)
    except EvolveError as error:
        raise TableAltered(spec.name, spec.table, error.what, undoing=undoing) from error
    reason = _difference(old, new, undoing=undoing)
    if reason is not None:
        raise TableAltered(spec.name, spec.table, reason, undoing=undoing)
    return new


def _difference(old: Target, new: Target, *, undoing: bool) -> str | None:
    """Why a run that began on `old` cannot go on with `new`."""
    if new.oid != old.oid:
        return "another table has taken its name"
    if new.key != old.key or new.collations != old.collations:
        return f"its key ({', '.join(column.name for column in old.key)}) has another type or order now"
    for was, now in zip(old.columns, new.columns, strict=True):
        if undoing and was.number != now.number:
            return f'column "{now.name}" was dropped and made again'
        if (was.type, was.as_text) != (now.type, now.as_text):
            return f'column "{now.name}" was of type {was.type} and is of type {now.type} now'
    return None
