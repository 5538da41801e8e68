"""What a Python function costs the server, against one bare UPDATE and against a backfill by an expression."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.backfill import Quiet, fill, spec
from support.backfill_bench import RANDOM, ROWS, Bench, Way, bench, told

from evolve.app.backfill_work import Pace
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.undo import JournalMode
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

NAME = "accounts.email_norm"


@pytest.fixture(scope="module")
def server() -> Iterator[Bench]:
    with bench() as made:
        yield made


def backfill(wanted: Spec, undo: JournalMode = JournalMode.OFF) -> Way:
    def way(url: str) -> None:
        done = fill(url, wanted, Quiet(), pace=Pace(), verify=False, undo_journal_mode=undo)
        assert done.rows == ROWS

    return way


def by_function(mode: Mode) -> Spec:
    work = Transform("support.row_functions:normalised", ("email",), ("email_norm",), mode)
    return Spec(NAME, QualifiedName("accounts"), work=work)


def one_update(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE accounts SET email_norm = lower(email)")


def test_against_one_update(server: Bench) -> None:
    ways = {
        "one UPDATE": one_update,
        "expression": backfill(spec("accounts", "email_norm", "lower(email)")),
        "guarded": backfill(by_function(Mode.GUARDED)),
        "locked": backfill(by_function(Mode.LOCKED)),
        "guarded, journal": backfill(by_function(Mode.GUARDED), JournalMode.ON),
    }
    ratios = told("backfill_functions", server.costs(server.template(RANDOM), ways), "one UPDATE")
    assert ratios["guarded"]["growth"] < 1.6
