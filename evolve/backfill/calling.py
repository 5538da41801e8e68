"""How a function of the application is called on rows, and what it may answer."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from evolve.backfill.ports import DatabaseFailure
from evolve.backfill.transform import Transform

T = TypeVar("T")

Row = dict[str, object]
Values = tuple[object, ...]

RAISED = "38000"  # external routine exception: the row's own fault, like a cast that fails
BROKEN = "39000"  # external routine invocation exception: the function's fault, whatever the row


class FunctionFailed(DatabaseFailure):
    """The function raised, or answered what cannot be written; told like a failure of the server, by SQLSTATE."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message, sqlstate=sqlstate, lost=False)


class Computing(Protocol):
    def __call__(self, rows: Sequence[Row], connection: object = None) -> list[Values | None]:
        """What each row's `writes` columns are to hold, in the order of the rows; None leaves a row as it is.

        Args:
            connection: the driver's, inside the transaction of the batch; None where the rows are computed before it.

        Raises:
            FunctionFailed: it raised (38000), or broke its contract (39000).
        """
        ...

    def close(self) -> None: ...


class Caller:
    """Calls one function; made in the thread that uses it, since coroutines of all batches run in one loop of its own.

    The function gets a copy of each row, so that it may change what it is given and return that.

    Args:
        function: takes a list of rows and returns as many, as a list, an iterator or an asynchronous one; or one row
            and returns one, where the work says `each`. It may be asynchronous: the rows of a batch then go together.
        key: names of the key's columns; a row that it returns with another key is refused.
    """

    def __init__(self, work: Transform, function: Callable[..., object], key: tuple[str, ...]) -> None:
        self._work = work
        self._function = function
        self._key = key
        self._runner: asyncio.Runner | None = None

    def __call__(self, rows: Sequence[Row], connection: object = None) -> list[Values | None]:
        if not rows:
            return []
        try:
            answers = self._answers([dict(row) for row in rows])
        except FunctionFailed:
            raise
        except (Exception, SystemExit) as error:  # sys.exit() must not end the process, least of all with 0
            raise FunctionFailed(f"{self._work.function} raised {last_line(error)}", RAISED) from error
        if len(answers) != len(rows):
            raise self._broken(f"returned {len(answers)} rows for {len(rows)}: it must return one for each")
        return [self._values(row, answer) for row, answer in zip(rows, answers, strict=True)]

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _answers(self, rows: list[Row]) -> Sequence[object]:
        if not self._work.each:
            return self._listed(self._function(rows), len(rows))
        answers = [self._function(row) for row in rows]
        if answers and inspect.isawaitable(answers[0]):
            return self._finished(_together(answers))
        return answers

    def _listed(self, answer: object, rows: int) -> Sequence[object]:
        if inspect.isawaitable(answer):
            answer = self._finished(answer)
        if isinstance(answer, AsyncIterable):
            answer = self._finished(_all_of(answer))
        if answer is None and not self._work.writes:
            return [None] * rows
        if isinstance(answer, Mapping | str) or not isinstance(answer, Iterable):
            raise self._broken(f"returned {_kind(answer)} where a list of rows was wanted")
        return list(answer)

    def _finished(self, answer: Awaitable[T]) -> T:
        async def waited() -> T:
            return await answer

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._runner is None:
                self._runner = asyncio.Runner()
            return self._runner.run(waited())
        return _in_a_thread(lambda: asyncio.run(waited()))

    def _values(self, row: Row, answer: object) -> Values | None:
        if answer is None:
            return None
        if not isinstance(answer, Mapping):
            raise self._broken(f"returned {_kind(answer)} for a row where a dictionary was wanted")
        writes = self._work.writes
        for name, value in answer.items():
            if name in writes:
                continue
            if name not in row:
                raise self._broken(
                    f'returned a column "{name}" that is not in writes ({", ".join(writes) or "none"})'
                )
            if value is not row[name] and value != row[name]:
                what = (
                    "another key" if name in self._key else f'another value of "{name}", which it only reads,'
                )
                raise self._broken(f"returned {what} for the row with key {self._shown(row)}")
        missing = [name for name in writes if name not in answer]
        if missing:
            raise self._broken(
                f'returned no "{missing[0]}" for the row with key {self._shown(row)}; None leaves a row as it is'
            )
        return tuple(answer[name] for name in writes)

    def _shown(self, row: Row) -> str:
        return f"({', '.join(str(row[name]) for name in self._key)})"

    def _broken(self, what: str) -> FunctionFailed:
        return FunctionFailed(f"{self._work.function} {what}", BROKEN)


async def _together(answers: Sequence[object]) -> list[object]:
    return list(await asyncio.gather(*(answer for answer in answers if inspect.isawaitable(answer))))


async def _all_of(answers: AsyncIterable[object]) -> list[object]:
    return [answer async for answer in answers]


def _in_a_thread(work: Callable[[], T]) -> T:
    """Where a loop runs in this thread already, another cannot."""
    done: list[T] = []
    failed: list[BaseException] = []

    def do() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001  # raised again below
            failed.append(error)

    thread = threading.Thread(target=do, name="backfill function")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def last_line(error: BaseException) -> str:
    """What was raised and where, on one line: `ValueError: no such country (shop/names.py:12)`."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return text
    return f"{text} ({step.tb_frame.f_code.co_filename}:{step.tb_lineno})"


def _kind(answer: object) -> str:
    return "nothing" if answer is None else f"a value of type {type(answer).__name__}"
