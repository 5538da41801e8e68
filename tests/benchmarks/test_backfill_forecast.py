"""What a dry run foretells of a backfill, against what the backfill then takes.

EVOLVE_BENCH_ROWS says on how many rows. 20,000,000 take 25 GB of disk for each kind; -k chooses among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import psycopg
import pytest
from support.backfill import Quiet, fill, spec
from support.backfill_bench import CORRELATED, MIXED, RANDOM, ROWS, Bench, bench
from support.benchmarks import FOLDER

from evolve.app.backfill_work import Pace
from evolve.app.dry_run_backfill import dry_run_backfill
from evolve.backfill.forecast import Forecast, Range
from evolve.backfill.undo import JournalMode

pytestmark = [pytest.mark.server, pytest.mark.long]

GATE = 0.3  # share by which the likely time and WAL may be off
WORK = spec("accounts", "email_norm", "lower(email)")


@pytest.fixture(scope="module")
def server() -> Iterator[Bench]:
    with bench() as made:
        yield made


def foretold(server: Bench, template: str) -> tuple[Forecast, int]:
    """On a copy of its own; with the bytes of the heap."""
    with server.server.database(template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            connection.execute("SELECT sum(length(note)) FROM accounts")
            size = connection.execute("SELECT pg_relation_size('accounts')").fetchone()
        quiet = Quiet()
        dry = dry_run_backfill(
            url, WORK, pace=Pace(), stop=quiet, watch=quiet, undo_journal_mode=JournalMode.OFF
        )
    assert dry.forecast is not None
    assert size is not None
    return dry.forecast, int(size[0])


def run(url: str) -> None:
    fill(
        url,
        WORK,
        Quiet(),
        pace=Pace(),
        verify=False,
        undo_journal_mode=JournalMode.OFF,
        analyze=False,
    )


@pytest.mark.parametrize(
    ("kind", "indexes", "key"),
    [
        ("no index", (), "bigint"),
        ("one correlated index", CORRELATED, "bigint"),
        ("four mixed indexes", MIXED, "bigint"),
        ("one random index", RANDOM, "bigint"),
        ("uuid key", RANDOM, "uuid"),
    ],
)
def test_forecast_against_truth(server: Bench, kind: str, indexes: tuple[str, ...], key: str) -> None:
    template = server.template(indexes, key=key)
    forecast, heap = foretold(server, template)
    cost = server.cost(template, run)
    truth = {"seconds": cost.seconds, "wal": float(cost.wal), "heap": (cost.growth - 1) * heap}
    ranges = {"seconds": forecast.seconds, "wal": forecast.wal, "heap": forecast.heap}
    print(f"\nforecast, {kind}, {ROWS:,} rows")  # noqa: T201  # it shows what it measured
    for name, value in truth.items():
        print(f"  {name:8} {value:15,.1f}  {_told(ranges[name], value)}")  # noqa: T201
    off = {name: ranges[name].likely / truth[name] - 1 for name in ("seconds", "wal")}
    for name, share in off.items():
        held = "held" if abs(share) <= GATE else "MISSED"
        print(f"  {name} off by {share:+.0%}; gate {GATE:.0%}: {held}")  # noqa: T201
    FOLDER.mkdir(exist_ok=True)
    result = {
        "schema": 1,
        "benchmark": "backfill_forecast",
        "kind": kind,
        "rows": ROWS,
        "truth": truth,
        "off": off,
        "gate": GATE,
        "forecast": {name: asdict(each) for name, each in ranges.items()},
    }
    (FOLDER / f"backfill_forecast_{kind.replace(' ', '_')}.json").write_text(
        json.dumps(result, indent=2) + "\n"
    )
    # Bytes of log hang on nothing but the work; time hangs on whatever else the machine does.
    assert forecast.wal.least < cost.wal < forecast.wal.most


def _told(foretold: Range, truth: float) -> str:
    share = foretold.likely / truth if truth else 0.0
    within = "within" if foretold.least <= truth <= foretold.most else "OUTSIDE"
    told = f"foretold {foretold.likely:15,.1f} ({share:.2f} of it)"
    return f"{told}, {within} {foretold.least:,.1f} to {foretold.most:,.1f}"
