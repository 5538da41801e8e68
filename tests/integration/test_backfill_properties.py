"""Whatever the keys, their gaps, the sizes, the workers and what is cut off on the way: each row of the start range is
written exactly once, and none outside of it.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.backfill import Quiet, command_line, fill, spec

from evolve.app.backfill_work import Outcome, Pace, ServerTrouble
from evolve.app.resume_backfill import resume_backfill
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.runner import GaveUp
from evolve.backfill.shapes import Shape
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode

pytestmark = pytest.mark.server

# type of the key → its value for a number x
TYPES = {
    "bigint": "x",
    "integer": "x - 500",
    "uuid": "md5(x::text)::uuid",
    "text": "md5(x::text)",
    'text COLLATE "C"': "chr(40 + x %% 80) || x",
    "timestamptz": "'2026-10-25 00:30+00'::timestamptz + x * interval '13.7 s'",
    "numeric": "x / 3.0",
    "bytea": "decode(md5(x::text), 'hex')",
    "date": "date '2026-01-01' + x",
    "bit(16)": "x::bit(16)",
}
ORDERED = {"bigint", "integer", "timestamptz", "numeric", "date", "bit(16)"}  # as their numbers are
SHAPES = (
    (),
    (Shape(1, touch=False),),
    (Shape(3, touch=True),),
    (Shape(5, touch=False), Shape(2, touch=True)),
)


@dataclass(frozen=True)
class Case:
    """
    Args:
        numbers: keys; `late`: those that come while the run is under way.
        cuts: batches before which every session of the run is ended; `stops`: before which it is stopped.
    """

    kind: str
    second: bool
    numbers: frozenset[int]
    late: frozenset[int]
    size: int
    workers: int
    newest_first: bool
    undo: bool
    shapes: tuple[Shape, ...]
    cuts: frozenset[int]
    stops: frozenset[int]


NUMBERS = st.frozensets(st.integers(0, 3000), max_size=150)
MOMENTS = st.frozensets(st.integers(0, 12), max_size=3)
CASES = st.builds(
    Case,
    kind=st.sampled_from(sorted(TYPES)),
    second=st.booleans(),
    numbers=NUMBERS,
    late=st.frozensets(st.integers(-40, 3040), max_size=12),
    size=st.integers(1, 60),
    workers=st.integers(1, 3),
    newest_first=st.booleans(),
    undo=st.booleans(),
    shapes=st.sampled_from(SHAPES),
    cuts=MOMENTS,
    stops=MOMENTS,
)
RUNS = itertools.count()


def make(url: str, table: str, case: Case) -> None:
    value = TYPES[case.kind].replace("%%", "%")
    key = "id, half" if case.second else "id"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE {table} (half smallint NOT NULL, id {case.kind} NOT NULL, x integer UNIQUE,"
            f" n integer NOT NULL DEFAULT 0, note text, PRIMARY KEY ({key}))".encode()
        )
        connection.execute(
            f"INSERT INTO {table} SELECT x % 2, {value}, x, 0, md5(x::text)"
            " FROM unnest(%s::integer[]) x".replace("x % 2", "x %% 2")
            .replace("x % 80", "x %% 80")
            .encode(),
            (sorted(case.numbers),),
        )
        connection.execute(f"CREATE INDEX ON {table} (note)".encode())


def insert(url: str, table: str, case: Case, number: int) -> None:
    value = TYPES[case.kind].replace("%%", "%").replace("%", "%%")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO {table} SELECT 0, {value}, x, 100, 'late' FROM (SELECT %s::integer AS x) late"
            " ON CONFLICT DO NOTHING".encode(),
            (number,),
        )


def written(url: str, table: str) -> dict[int, int]:
    """Number of a row → its n: 100 and more for rows that came late."""
    with psycopg.connect(url, autocommit=True) as connection:
        return dict(connection.execute(f"SELECT x, n FROM {table}".encode()).fetchall())


def outside(case: Case) -> set[int]:
    """Numbers of late rows whose keys are certainly outside of the range that was there when the run began."""
    if case.kind not in ORDERED or not case.numbers:
        return set()
    return {x for x in case.late if not min(case.numbers) <= x <= max(case.numbers)}


def hold(url: str, case: Case) -> None:
    table = f"t{next(RUNS)}"
    make(url, table, case)
    late = iter(sorted(case.late - case.numbers))
    cuts, stops = set(case.cuts), set(case.stops)
    asked = threading.Event()

    def between(batches: int) -> None:
        number = next(late, None)
        if number is not None:
            insert(url, table, case, number)
        if batches in cuts:
            cuts.discard(batches)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'evolve backfill%' AND datname = current_database()"
                )
        if batches in stops:
            stops.discard(batches)
            asked.set()

    pace = Pace(largest=case.size, workers=case.workers, shapes=case.shapes, replica_lag=None)
    work = spec(table, "n", "n + 1")
    outcome: Outcome | None = None
    # Who is cut off while asked to stop does not come back, and says so.
    with suppress(ServerTrouble, GaveUp):
        outcome = fill(
            url,
            work,
            Quiet(between=between, stop_when=asked.is_set),
            pace=pace,
            newest_first=case.newest_first,
            undo_journal_mode=JournalMode.ON if case.undo else JournalMode.OFF,
        )
    while outcome is None or outcome.state is not State.DONE:
        asked.clear()
        quiet = Quiet(between=between, stop_when=asked.is_set)
        with suppress(ServerTrouble, GaveUp):
            outcome = resume_backfill(url, work.name, pace=pace, stop=quiet, watch=quiet)
    rows = written(url, table)
    assert {x for x, n in rows.items() if n < 100} == case.numbers
    assert {rows[x] for x in case.numbers} <= {1}
    assert {n for n in rows.values() if n != 1} <= {100, 101}
    assert {rows[x] for x in outside(case) & rows.keys()} <= {100}
    if case.undo:
        undo_backfill(url, work.name, pace=pace, stop=Quiet(), watch=Quiet())
        assert set(written(url, table).values()) <= {0, 100}


QUICK = settings(
    max_examples=12,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(case=CASES)
def test_each_row_exactly_once(database_url: str, case: Case) -> None:
    hold(database_url, case)


@pytest.mark.long
@settings(QUICK, max_examples=200)
@given(case=CASES)
def test_each_row_exactly_once_for_long(database_url: str, case: Case) -> None:
    hold(database_url, case)


@pytest.mark.long
@settings(QUICK, max_examples=25)
@given(case=CASES, delays=st.lists(st.floats(0.3, 1.2), min_size=1, max_size=4))
def test_each_row_exactly_once_whoever_is_killed(database_url: str, case: Case, delays: list[float]) -> None:
    table = f"t{next(RUNS)}"
    make(database_url, table, case)
    options = [
        "--max-batch",
        str(min(case.size, 5)),
        "--workers",
        str(case.workers),
        "--max-rows-per-second",
        "150",
    ]
    options += ["--newest-first"] if case.newest_first else []
    with command_line(database_url) as cli:
        for delay in delays:
            process = cli.start("run", f"{table}.n", "--set", "n + 1", *options)
            time.sleep(delay)
            process.kill()
            process.communicate()
        cli.run("run", f"{table}.n", "--set", "n + 1", *options)
    assert written(database_url, table) == dict.fromkeys(case.numbers, 1)
