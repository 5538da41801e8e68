"""400 days of a clock, two schedulers that die at random: no partition is ever missing, and none goes too early."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from support.upkeep import EVENTS, attached, dying, tables_there

from evolve.app import premake_partitions, retain_partitions
from evolve.app.convert_table import Patience
from evolve.app.premake_partitions import StillBlocked, premake
from evolve.app.retain_partitions import Environment, RetainAtWork, StillHeld, retain
from evolve.config import PartitionedTable

pytestmark = pytest.mark.server

ZONE = ZoneInfo("Europe/Berlin")
KEEP, GRACE, AHEAD = 6, timedelta(days=2), 14
TABLES = {
    "events": PartitionedTable(
        "range",
        {
            "key": "at",
            "interval": "day",
            "timezone": "Europe/Berlin",
            "premake": f"{AHEAD} days",
            "retention": {"keep": f"{KEEP} days", "grace": "2 days"},
        },
    )
}
_APART = timedelta(minutes=5)  # of the clocks, at most
QUICK = Patience(budget=0.3, first_delay=0.01)
_DAY = re.compile(r"events_p(\d{4})_(\d\d)_(\d\d)")


class Witness:
    """Remembers when a table was seen attached, detached and gone, and what that says of the promises."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.there: set[str] = set()
        self.detached: dict[str, datetime] = {}
        self.dropped = 0

    def looks(self, now: datetime) -> None:
        there, members = tables_there(self.url), attached(self.url)
        for name in there - members - self.detached.keys():
            if name in self.there:
                assert _expired(name, now), f"{name} was detached at {now}"
                self.detached[name] = now
        for name in self.there - there:
            assert name in self.detached, f"{name} was dropped while attached, at {now}"
            # Up to a day passes between what a run did and this look at it.
            assert now - self.detached[name] >= GRACE - timedelta(days=1), f"{name} went too early, at {now}"
            self.dropped += 1
        self.there |= members
        self.there &= there

    def writes(self, now: datetime) -> None:
        """Rows of now and of the hours around it, which the clocks may show twice or not at all."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for hours in (0, 1, 2, 3):
                connection.execute("INSERT INTO events (at) VALUES (%s)", (now + timedelta(hours=hours),))


def _expired(name: str, now: datetime) -> bool:
    found = _DAY.fullmatch(name)
    assert found is not None, name
    day = date(int(found[1]), int(found[2]), int(found[3]))
    end = datetime.combine(day + timedelta(days=1), time())
    return end <= now.astimezone(ZONE).replace(tzinfo=None) - timedelta(days=KEEP)


def test_weeks_with_a_change_of_the_clocks(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _live(database_url, monkeypatch, datetime(2028, 3, 18, tzinfo=UTC), 16, seed=1, pauses=((3, 7),))


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_400_days(database_url: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    # From before the end of one summer time to behind the end of the next, with a 29th of February.
    begin = datetime(2027, 10, 20, tzinfo=UTC)
    _live(database_url, monkeypatch, begin, 400, seed=seed, pauses=((60, 67), (250, 257)))


def _live(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    begin: datetime,
    days: int,
    *,
    seed: int,
    pauses: tuple[tuple[int, int], ...],
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(retain_partitions, "LOCK_TIMEOUT", 50)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE events (at timestamptz NOT NULL) PARTITION BY RANGE (at)")
    premake(url, TABLES, EVENTS, begin)
    witness = Witness(url)
    witness.looks(begin)
    for day in range(days):
        midnight = begin + timedelta(days=day)
        if not any(first <= day < last for first, last in pauses):
            _upkeep(url, monkeypatch, dice, midnight, witness)
        witness.writes(midnight + timedelta(hours=dice.uniform(0, 23)))
    # Whatever was left half done by those that died is done now.
    last = begin + timedelta(days=days)
    _retain(url, last, Patience(budget=20.0))
    witness.looks(last)
    assert all(not _expired(name, last) for name in attached(url))
    assert witness.dropped > (days - KEEP - GRACE.days) // 2


def _upkeep(
    url: str, monkeypatch: pytest.MonkeyPatch, dice: random.Random, midnight: datetime, witness: Witness
) -> None:
    """Two schedulers, whose clocks differ by minutes: together, one after the other, dying, or behind a reader."""
    now = midnight + timedelta(hours=dice.uniform(0, 23))
    runs: list[Callable[[], None]] = []
    for _ in range(2):
        moment = now + timedelta(minutes=dice.uniform(-4, 4))
        runs += [lambda m=moment: _premake(url, m), lambda m=moment: _retain(url, m, QUICK)]  # type: ignore[misc]
    dice.shuffle(runs)
    match dice.randrange(8):
        case 0:
            threads = [threading.Thread(target=run) for run in runs]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        case 1:
            with psycopg.connect(url) as reader:
                reader.execute("SELECT count(*) FROM events")
                for run in runs[:2]:
                    run()
        case _:
            for run in runs[: dice.randint(1, 3)]:
                after, before = dice.randint(1, 60), dice.random() < 0.5
                modules = (retain_partitions, premake_partitions)
                with dying(monkeypatch, modules, after, before_the_last=before):
                    run()
                witness.looks(now + _APART)
    witness.looks(now + _APART)


def _premake(url: str, now: datetime) -> None:
    try:
        premake(url, TABLES, EVENTS, now, patience=QUICK)
    except StillBlocked:
        return


def _retain(url: str, now: datetime, patience: Patience) -> None:
    try:
        retain(
            url,
            TABLES,
            EVENTS,
            now,
            patience=patience,
            environment=Environment(server_clock=lambda _: now),
        )
    except (StillHeld, RetainAtWork):
        return
