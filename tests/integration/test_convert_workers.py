"""Several workers copy the rows of a conversion: each key by one of them, through failures, with any number of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from support.conversion import ORDERS, YEARS, Watcher, planned
from support.orders import NOW, execute, make_orders, rows_of, scalar, writers
from support.servers import MakeDatabase, MakeTemplate

from evolve.app import convert_table
from evolve.app.convert_table import Environment, Interrupted, Patience
from evolve.partition.steps import Step, Track

pytestmark = pytest.mark.server


@pytest.fixture
def many(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    """20,000 orders."""
    return make_database(make_template("orders for workers", lambda url: make_orders(url, 20_000)))


class Copying(Watcher):
    """Lets the first worker go on only once another one is at work, and does something after so many batches."""

    def __init__(self, workers: int, after: int = 0, then: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.helped = threading.Event()
        self.stop = threading.Event()
        self._copies = False
        self.workers = workers
        self._left = after
        self._then = then or self.stop.set

    def begins(self, track: Track, step: Step, number: int, total: int) -> None:
        super().begins(track, step, number, total)
        self._copies = step.name == "copy"

    def progresses(self, step: Step, rows: int, total: int, rows_per_second: float | None, size: int) -> None:
        self._left -= 1
        if self._left == 0:
            self._then()

    def asked(self) -> bool:
        """Before each batch, by each worker."""
        if threading.current_thread() is not threading.main_thread():
            self.helped.set()
        elif self._copies and self.workers > 1:
            self.helped.wait(20)
        return self.stop.is_set()


class Broken(Exception):
    pass


def convert(url: str, watcher: Copying) -> None:
    convert_table.convert(
        url,
        planned(url, "copy", YEARS),
        observer=watcher,
        patience=Patience(budget=20.0),
        environment=Environment(now=lambda: NOW, stop=watcher.asked),
        workers=watcher.workers,
    )


def resume(url: str, workers: int) -> None:
    convert_table.resume(
        url,
        ORDERS,
        observer=Watcher(),
        patience=Patience(budget=20.0),
        environment=Environment(now=lambda: NOW),
        workers=workers,
    )


def test_several_workers_copy_each_row_once(many: str) -> None:
    watcher = Copying(3)
    with writers(many, rows=20_000) as traffic:
        convert(many, watcher)
    ranges = scalar(many, "SELECT count(*) FROM evolve.partition_range WHERE cursor = upto")
    assert (traffic.errors, watcher.helped.is_set(), ranges) == ([], True, 12)
    assert rows_of(many) == rows_of(many, "orders_evolve_old")


@pytest.mark.parametrize("workers", [1, 5])
def test_a_failure_of_one_ends_all_and_another_number_goes_on(many: str, workers: int) -> None:
    def broken() -> None:
        raise Broken

    before = rows_of(many)
    with pytest.raises(Broken):
        convert(many, Copying(3, 4, broken))
    resume(many, workers)
    assert rows_of(many) == before == rows_of(many, "orders_evolve_old")


def test_a_copy_that_an_earlier_version_began_goes_on_behind_its_key(many: str) -> None:
    before = rows_of(many)
    with pytest.raises(Interrupted):
        convert(many, Copying(1, 2))
    execute(
        many,
        "UPDATE evolve.partition_step SET cursor = jsonb_build_object('last', r.cursor, 'top', r.upto)"
        " FROM evolve.partition_range AS r WHERE partition_step.name = 'copy'; DELETE FROM evolve.partition_range",
    )
    resume(many, 2)
    assert rows_of(many) == before
