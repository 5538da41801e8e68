"""How a function is called on rows, and what it may answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from evolve.backfill.calling import BROKEN, RAISED, Caller, FunctionFailed, Row
from evolve.backfill.transform import Transform

ROWS: list[Row] = [{"id": 1, "a": "x"}, {"id": 2, "a": "y"}]
WANTED = [("X",), ("Y",)]


def an_exit(rows: list[Row]) -> list[Row]:
    raise SystemExit(0)


async def an_exit_of_a_coroutine(rows: list[Row]) -> list[Row]:
    raise SystemExit(0)


@pytest.mark.parametrize("function", [an_exit, an_exit_of_a_coroutine])
def test_a_function_that_exits_has_failed(function: Callable[..., object]) -> None:
    with pytest.raises(FunctionFailed, match="raised SystemExit"):
        call(function)


def call(function: Callable[..., object], *, each: bool = False) -> list[tuple[object, ...] | None]:
    work = Transform("shop:names", ("a",), ("b",), each=each)
    caller = Caller(work, function, ("id",))
    try:
        return caller(ROWS)
    finally:
        caller.close()


def a_list(rows: list[Row]) -> list[Row]:
    return [{"b": str(row["a"]).upper()} for row in rows]


def an_iterator(rows: list[Row]) -> Iterator[Row]:
    yield from a_list(rows)


def what_it_was_given(rows: list[Row]) -> list[Row]:
    for row in rows:
        row["b"] = str(row["a"]).upper()
    return rows


async def a_coroutine(rows: list[Row]) -> list[Row]:
    await asyncio.sleep(0)
    return a_list(rows)


async def an_async_iterator(rows: list[Row]) -> AsyncIterator[Row]:
    for row in a_list(rows):
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize(
    "function",
    [a_list, an_iterator, what_it_was_given, a_coroutine, an_async_iterator],
    ids=lambda f: f.__name__,
)
def test_every_way_to_answer_a_batch(function: Callable[..., object]) -> None:
    assert call(function) == WANTED
    assert ROWS == [{"id": 1, "a": "x"}, {"id": 2, "a": "y"}]  # the function had copies


def test_one_row_at_a_time() -> None:
    assert call(lambda row: {"b": row["a"].upper()}, each=True) == WANTED


def test_coroutines_of_a_batch_run_together() -> None:
    meeting = asyncio.Barrier(2)

    async def one(row: Row) -> Row:
        await asyncio.wait_for(meeting.wait(), 5)
        return {"b": str(row["a"]).upper()}

    assert call(one, each=True) == WANTED


def test_a_coroutine_where_a_loop_runs_already() -> None:
    async def main() -> list[tuple[object, ...] | None]:
        return call(a_coroutine)

    assert asyncio.run(main()) == WANTED


def test_none_leaves_a_row_as_it_is() -> None:
    assert call(lambda rows: [None, {"b": "Y"}]) == [None, ("Y",)]


def raises(rows: list[Row]) -> list[Row]:
    raise ValueError("no such\ncountry")


def test_what_it_raised_is_told_with_its_place() -> None:
    with pytest.raises(
        FunctionFailed, match=r"shop:names raised ValueError: no such country \(.*:\d+\)"
    ) as raised:
        call(raises)
    assert raised.value.sqlstate == RAISED


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([], "returned 0 rows for 2"),
        ([{"b": "X"}] * 3, "returned 3 rows for 2"),
        (None, "returned nothing where a list of rows was wanted"),
        ({"b": "X"}, "returned a value of type dict where a list"),
        (["X", "Y"], "returned a value of type str for a row"),
        ([{"b": "X", "c": 1}, {"b": "Y"}], r'a column "c" that is not in writes \(b\)'),
        ([{"id": 1}, {"b": "Y"}], r'returned no "b" for the row with key \(1\)'),
        ([{"id": 2, "b": "X"}, {"id": 1, "b": "Y"}], r"another key for the row with key \(1\)"),
        ([{"id": 1, "b": "X"}, {"id": 1, "b": "Y"}], r"another key for the row with key \(2\)"),
        ([{"a": "changed", "b": "X"}, {"b": "Y"}], r'another value of "a", which it only reads, for'),
    ],
)
def test_an_answer_that_breaks_the_contract(answer: object, told: str) -> None:
    with pytest.raises(FunctionFailed, match=told) as raised:
        call(lambda _: answer)
    assert raised.value.sqlstate == BROKEN
