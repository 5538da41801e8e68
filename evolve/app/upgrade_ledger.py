"""What is kept of a revision while it runs, and how one that was cut short is gone on with.

A statement that an earlier run did for good is not sent again. What it did is known where its record says so, where the
server says that its transaction was committed, and where the catalogs show it; anything else is told to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from evolve.errors import Refused
from evolve.postgres import lasting
from evolve.postgres.connect import Connection
from evolve.postgres.invalid_indexes import drop_invalid_index
from evolve.postgres.upgrade_record import Recorded, UpgradeRecord
from evolve.revisions.ledger import Sent
from evolve.sql.names import quote

Unfinished = Literal["again", "done", "restart"]


class CannotTell(Refused):
    """A run was cut short, and nobody knows whether its last statement was done."""

    def __init__(self, revision: str, statement: str, command: str, done: Sequence[str]) -> None:
        before = f"; before it, this was done: {'; '.join(done)}" if done else ""
        super().__init__(
            f"revision {revision} was cut short, and whether this was done is not known: {statement}",
            why=f"it ran outside a transaction, and nothing in the catalogs tells{before}",
            fix=f"look whether it was done; then go on after it: {command} --unfinished done; or send it once more: "
            f"{command} --unfinished again; or undo by hand all that was done, and: {command} --unfinished restart",
        )


class NotAsRecorded(Refused):
    """The revision or the database is another one than when it was cut short."""

    def __init__(self, revision: str, reason: str, recorded: str, command: str) -> None:
        super().__init__(
            f"revision {revision} was cut short after {recorded}, and cannot be gone on with: {reason}",
            why="what was done already must not be done twice, nor left out",
            fix=f"undo by hand what it did, then: {command} --unfinished restart; or make the rest true by hand, then: "
            f"alembic stamp {revision}",
        )


class StillAtWork(Refused):
    def __init__(self, revision: str, pid: int, query: str) -> None:
        super().__init__(
            f"a session of the run that was cut short still works on revision {revision}: pid {pid}: {query}",
            why="a server goes on with a statement after its client is gone",
            fix=f"run it again when that session has ended, or end it: SELECT pg_terminate_backend({pid})",
        )


class IndexInTheWay(Refused):
    def __init__(self, revision: str, index: str) -> None:
        super().__init__(
            f"revision {revision} was cut short while it built index {index}, and that cannot be dropped yet",
            why="another session builds it, or holds its table",
            fix=f"run it again when that session has ended; by hand: DROP INDEX CONCURRENTLY {index}",
        )


@dataclass(frozen=True, slots=True)
class NoLedger:
    """In the place of one where the role may keep no record."""

    on_wait: Callable[[Sent, str], None]
    keeps: bool = False

    def waits(self, sent: Sent, search_path: str) -> None:
        self.on_wait(sent, search_path)

    def skips(self, sent: Sent, search_path: Callable[[], str]) -> bool:
        return False

    def sends(self, sent: Sent, search_path: str) -> None: ...
    def succeeded(self, sent: Sent) -> None: ...
    def failed(self, sent: Sent) -> None: ...
    def commits(self, statements: Sequence[Sent], transaction: str, search_path: str) -> None: ...
    def stamps(self, transaction: str) -> None: ...


@dataclass(slots=True)
class RevisionLedger:
    """The ledger of one revision.

    Args:
        own: the connection that holds the runner's lock, in autocommit mode.
        command: what a person typed, for messages.
        unfinished: what a person said about a statement of which nobody can tell.
        lock_timeouts: milliseconds: of what others queue behind, and of what they do not.
        ours: pids of the sessions of this run.
        wait: waits a little where something must end first; raises what it is given where there is no time left.
        on_wait: asked before each statement with CONCURRENTLY.
    """

    revision: str
    record: UpgradeRecord
    own: Connection
    command: str
    unfinished: Unfinished | None
    lock_timeouts: tuple[int, int]
    ours: Callable[[], Sequence[int]]
    wait: Callable[[Refused], None]
    on_wait: Callable[[Sent, str], None]
    known: dict[int, Recorded] = field(default_factory=dict)
    keeps: bool = True
    stamping: bool = False

    def begin(self) -> list[str]:
        """Look at what is recorded, when whatever an earlier run left at work has ended; returns what is done.

        Raises:
            StillAtWork: it has not ended in time.
        """
        self.known = self.record.statements()
        self._let_go_of_stamped()
        if self.known and self.unfinished == "restart":
            self.record.forget()
            self.known = {}
        if any(each.state == "sent" for each in self.known.values()):
            while (live := self.record.live_backend(self.ours())) is not None:
                self.wait(StillAtWork(self.revision, live.pid, live.query))
        for each in [*self.known.values()]:
            if each.transaction is not None and each.state == "sent":
                self._ask_for_transaction(each, each.transaction)
        return [str(each) for each in self.known.values() if each.state == "done"]

    def _let_go_of_stamped(self) -> None:
        """What was stamped since is through; what follows is the same revision for another tenant."""
        stamped = self.record.stamped_by()
        if stamped is not None and self.record.fate(stamped) == "committed":
            self.record.forget()
            self.known = {}

    def _ask_for_transaction(self, each: Recorded, transaction: str) -> None:
        match self.record.fate(transaction):
            case "committed":
                self._settle(each, "done")
            case "unknown":
                if self.unfinished is None:
                    raise CannotTell(self.revision, str(each), self.command, self._done())
                self._settle(each, "done" if self.unfinished == "done" else "failed")
            case "aborted" | "in progress":
                # Still in progress without a session: it was never committed, and is rolled back with its session.
                self._settle(each, "failed")

    def _settle(self, each: Recorded, state: Literal["done", "failed"]) -> None:
        self.record.settle(each.ordinal, state)
        self.known[each.ordinal] = replace(each, state=state)

    def _done(self) -> list[str]:
        return [str(each) for each in self.known.values() if each.state == "done"]

    # -- asked and told by the runner --------------------------------------------------------------------------------
    def waits(self, sent: Sent, search_path: str) -> None:
        self.on_wait(sent, search_path)

    def skips(self, sent: Sent, search_path: Callable[[], str]) -> bool:
        if self.stamping:
            self.stamping = False
            self._let_go_of_stamped()
        recorded = self.known.get(sent.ordinal)
        if recorded is None:
            return False
        path = search_path()
        same = recorded.digest == sent.digest and recorded.search_path == path
        if recorded.state == "done":
            if not same:
                raise NotAsRecorded(
                    self.revision,
                    f"there is another statement in its place now, {sent}",
                    str(recorded),
                    self.command,
                )
            return self._stays_done(sent, recorded, path)
        if not same and recorded.state == "failed":
            return False
        what = lasting.lasting(sent.text) if same else None
        if what is not None:
            return self._looks_done(sent, what, path)
        if recorded.state == "failed" or (same and lasting.repeatable(sent.text)):
            return self._sends_again(sent, path)
        if self.unfinished == "done":
            self._settle(recorded, "done")
            return True
        if self.unfinished == "again":
            return self._sends_again(sent, path)
        raise CannotTell(self.revision, str(recorded), self.command, self._done())

    def _sends_again(self, sent: Sent, path: str) -> Literal[False]:
        while left := lasting.leftovers(self.own, sent.text, path):
            self._clear_away(*left[0])
        return False

    def _stays_done(self, sent: Sent, recorded: Recorded, path: str) -> bool:
        """It was done; only of the last one is it certain that no later statement has undone it, heard of or not."""
        if recorded.returned_rows:
            if lasting.only_reads(sent.text):
                return False
            raise NotAsRecorded(
                self.revision,
                f"the revision needs the rows that {sent} gave back",
                str(recorded),
                self.command,
            )
        what = lasting.lasting(sent.text)
        last = all(each.state == "failed" for each in self.known.values() if each.ordinal > sent.ordinal)
        if what is None or not last or lasting.look(self.own, what, path) == "done":
            return True
        raise NotAsRecorded(
            self.revision, f"what {sent} did is not there any more", str(recorded), self.command
        )

    def _looks_done(self, sent: Sent, what: lasting.Lasting, path: str) -> bool:
        while True:
            verdict = lasting.look(self.own, what, path)
            if verdict == "half":
                match what:
                    case lasting.IndexBuilt(index, table):
                        self._clear_away(index, lasting.resolved(self.own, table, path))
                        continue
                    case lasting.Detached():
                        if not lasting.finalize(self.own, what, path, self.lock_timeouts[0]):
                            self.wait(
                                DetachmentPending(self.revision, what.table.plain, what.partition.plain)
                            )
                        continue
                    case _:
                        pass
            if verdict == "done":
                self.record.settle(sent.ordinal, "done")
                self.known[sent.ordinal] = replace(self.known[sent.ordinal], state="done")
            return verdict == "done"

    def _clear_away(self, index: str, table: str) -> None:
        if drop_invalid_index(self.own, quote(index), table, lock_timeout=self.lock_timeouts[1]) == "stays":
            self.wait(IndexInTheWay(self.revision, index))

    def sends(self, sent: Sent, search_path: str) -> None:
        self._write([sent], None, search_path, "sent")

    def succeeded(self, sent: Sent) -> None:
        self.record.settle(sent.ordinal, "done", returned_rows=sent.rows)

    def failed(self, sent: Sent) -> None:
        self.record.settle(sent.ordinal, "failed")

    def commits(self, statements: Sequence[Sent], transaction: str, search_path: str) -> None:
        self._write(statements, transaction, search_path, "sent")

    def stamps(self, transaction: str) -> None:
        self.record.stamps(transaction)
        self.stamping = True

    def _write(
        self, statements: Sequence[Sent], transaction: str | None, path: str, state: Literal["sent"]
    ) -> None:
        self.record.write([
            Recorded(each.ordinal, each.summary, each.place, each.digest, path, transaction, each.rows, state)
            for each in statements
        ])  # fmt: skip


class DetachmentPending(Refused):
    def __init__(self, revision: str, table: str, partition: str) -> None:
        super().__init__(
            f'revision {revision} was cut short while it detached partition "{partition}", and cannot finish that yet',
            why="older transactions still use the partition",
            fix=f"run it again; by hand: ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE",
        )
