"""One client: a thread with a pooled connection that owns records, changes them, and misses none of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from evolve.client import Heart, register
from evolve.testing.phase_harness.dice import Dice
from evolve.testing.phase_harness.failure import Failure
from evolve.testing.phase_harness.rows import Rows
from evolve.testing.phase_harness.scene import Translate, Version

CACHED_PLAN = "cached plan must not change result type"
_DENIED = "permission denied"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is being done to the schema.

    Args:
        name: of the phase and the command.
        quiet: nothing is being done.
        recycled: prepared statements may break in it.
        hidden: what old code needs may be hidden from it.
    """

    name: str
    quiet: bool = True
    recycled: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a transaction took, in seconds, and during what."""

    seconds: float = 0.0
    moment: str = ""
    client: str = ""

    def longer(self, other: Wait) -> Wait:
        return max(self, other, key=lambda wait: wait.seconds)


@dataclass(slots=True)
class Owned:
    """A record that a client answers for: what it wrote last."""

    rows: int
    key: object
    values: dict[str, object]


class _Undo(Exception):
    """Ends a transaction that is to leave nothing."""


@dataclass(slots=True)
class Client:
    """
    Args:
        now: the moment that is.
        rest: how many times as long as it worked a client rests afterwards, on average.
        role: that it works as; "" is the URL's own.
        registered: it tells of itself through `evolve.client`.
        old: it is of the version that a brown-out may refuse something.

    Attributes:
        longest: of its transactions while something was done to the schema.
        quiet: of those while nothing was.
    """

    url: str
    version: Version
    number: int
    now: Callable[[], Moment]
    rest: float = 5.0
    role: str = ""
    registered: bool = False
    old: bool = False
    transactions: int = 0
    added: int = 0
    recycled: int = 0
    denied: int = 0
    failures: list[Failure] = field(default_factory=list)
    longest: Wait = Wait()
    quiet: Wait = Wait()
    owned: list[Owned] = field(default_factory=list)
    _dice: Dice = field(init=False)
    _engine: Engine | None = None
    _heart: Heart | None = None
    # Held while a transaction is open: who takes records away does so between two.
    _between: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._dice = Dice(self.name, self.number)

    @property
    def name(self) -> str:
        return f"{self.version.name} {self.number}"

    def start(self) -> None:
        # psycopg prepares a statement at its fifth run, and the connection stays in the pool: both as by default.
        options = {"options": f"-c role={self.role}"} if self.role else {}
        self._engine = create_engine(
            self.url, pool_size=1, max_overflow=0, connect_args={"application_name": self.name, **options}
        )
        if self.registered:
            models = [rows.model.registry for rows in self.version.rows]
            self._heart = register(
                self._engine, version=self.version.name, models=models, interval=_HEARTBEAT
            )
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look at every record once more, and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(60)
            if self._thread.is_alive():
                self._fail("stopping", "it hangs")
        if self._heart is not None:
            self._heart.leave()
        if self._engine is not None:
            self._engine.dispose()

    def recycle(self) -> None:
        """Give it new connections."""
        with self._between:
            self._dispose()

    def take(self, share: float) -> list[Owned]:
        """Hand over that share of its records, those changed last first."""
        with self._between:
            count = round(len(self.owned) * share)
            taken, self.owned = self.owned[len(self.owned) - count :], self.owned[: len(self.owned) - count]
            return taken

    def give(self, records: list[Owned], translate: Translate) -> None:
        """Answer from now on for records that another version wrote; each is looked at soon."""
        with self._between:
            for record in records:
                values = translate(record.values)
                if values is not None:
                    self.owned.append(Owned(record.rows, record.key, dict(values)))

    # -- its thread -----------------------------------------------------------------------------------------
    def _work(self) -> None:
        with self._between:
            self._do("connect", lambda session: session.connection())
        while not self._stop.is_set():
            began = time.monotonic()
            with self._between:
                self._step()
            took = time.monotonic() - began
            self._stop.wait(min(0.1, took * self.rest * 2 * self._dice.random()))
        with self._between:
            for record in list(self.owned):
                self._do("read", partial(self._look, record=record))

    def _step(self) -> None:
        chance = self._dice.random()
        if not self.owned or (chance < 0.25 and self.added < _MOST):
            self._add()
            return
        record = self._dice.choice(self.owned)
        rows = self.version.rows[record.rows]
        if chance < 0.65:
            self._change(rows, record)
        elif chance < 0.85:
            self._do("read", lambda session: self._look(session, record))
        elif chance < 0.9:
            self._do("glance", rows.glance)
        elif chance < 0.95 and rows.removes:
            self._remove(rows, record)
        else:
            self._undo(rows, record)

    def _add(self) -> None:
        index = self._dice.randrange(len(self.version.rows))
        made: list[Owned] = []

        def add(session: Session) -> None:
            key, values = self.version.rows[index].add(session, self._dice)
            made[:] = [Owned(index, key, dict(values))]

        if self._do("add", add):
            self.owned += made
            self.added += 1

    def _change(self, rows: Rows, record: Owned) -> None:
        written: dict[str, object] = {}

        def change(session: Session) -> None:
            self._look(session, record)
            written.clear()
            written.update(rows.change(session, record.key, self._dice))

        if self._do("change", change):
            record.values.update(written)

    def _remove(self, rows: Rows, record: Owned) -> None:
        def remove(session: Session) -> None:
            self._look(session, record)
            rows.remove(session, record.key)

        if self._do("remove", remove):
            self.owned.remove(record)

    def _undo(self, rows: Rows, record: Owned) -> None:
        def undo(session: Session) -> None:
            rows.change(session, record.key, self._dice)
            session.flush()
            raise _Undo

        self._do("change and roll back", undo)

    def _look(self, session: Session, record: Owned) -> None:
        rows = self.version.rows[record.rows]
        found = rows.find(session, record.key)
        if found is None:
            raise _Lost(f"{record.key} is gone; it held {record.values}")
        missing = [name for name in record.values if name not in found]
        if missing:
            raise _Lost(f"{record.key} has no {missing[0]}; the scene's translation gives {record.values}")
        seen = rows.normal({name: found[name] for name in record.values})
        wanted = rows.normal(record.values)
        if seen != wanted:
            raise _Lost(f"{record.key} holds {dict(seen)}, and {dict(wanted)} was written")

    def _do(self, doing: str, work: Callable[[Session], object]) -> bool:
        """Run `work` in a transaction; False where it did not come to its commit."""
        began, before = time.monotonic(), self.now()
        try:
            with Session(self._engine) as session, session.begin():
                work(session)
            return True
        except _Undo:
            return False
        except _Lost as lost:
            self._fail(doing, str(lost))
            return False
        except DBAPIError as error:
            if CACHED_PLAN in str(error.orig) and (before.recycled or self.now().recycled):
                self.recycled += 1
                self._dispose()
                return False
            if self.old and _DENIED in str(error.orig) and (before.hidden or self.now().hidden):
                self.denied += 1
                return False
            self._fail(doing, str(error.orig), error.statement or "")
            return False
        except SQLAlchemyError as error:
            self._fail(doing, f"{type(error).__name__}: {error}")
            return False
        except Exception as error:  # noqa: BLE001  # of the scene's own code; a thread that dies in silence proves nothing
            self._fail(doing, f"{type(error).__name__}: {error}")
            return False
        finally:
            self.transactions += 1
            self._measure(time.monotonic() - began, before, self.now())

    def _measure(self, seconds: float, before: Moment, after: Moment) -> None:
        if before.quiet and after.quiet:
            if self.transactions <= _WARM:
                return  # it compiles its statements, which the change has no part in
            self.quiet = self.quiet.longer(Wait(seconds, before.name, self.name))
        else:
            moment = after if before.quiet else before
            self.longest = self.longest.longer(Wait(seconds, moment.name, self.name))

    def _fail(self, doing: str, error: str, statement: str = "") -> None:
        self.failures.append(Failure(self.now().name, self.name, doing, error, statement))

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()


class _Lost(Exception):
    """A record is not as it was written."""


_HEARTBEAT = 1.0  # seconds
_WARM = 10
_MOST = 100  # records that a client adds
