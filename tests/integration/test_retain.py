"""Partitions past their retention leave: beside readers and writers, after kills, and never one too early."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from support.orders import execute, relations
from support.servers import MakeDatabase, MakeTemplate
from support.upkeep import (
    EVENTS,
    NOW,
    attached,
    done,
    dying,
    make_events,
    retained,
    settings,
    tables_there,
)

from evolve.app import retain_partitions
from evolve.app.convert_table import BadOptions
from evolve.app.premake_partitions import premake
from evolve.app.retain_partitions import ClocksApart, DefaultInTheWay, Environment, StillHeld, retain

pytestmark = pytest.mark.server

BEGIN = datetime(2027, 3, 12, 12, tzinfo=UTC)
EXPIRED = ["events_p2027_03_12", "events_p2027_03_13", "events_p2027_03_14"]
LATER = NOW + timedelta(days=2, minutes=1)


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    """Events by day since BEGIN; three days are past their retention."""
    return make_database(make_template("events by day", lambda url: make_events(url, begin=BEGIN)))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retain_partitions, "LOCK_TIMEOUT", 100)


def test_what_is_past_its_retention_is_detached_and_kept_for_now(url: str) -> None:
    found = retained(url)
    assert done(found) == [("detached", name) for name in EXPIRED]
    assert attached(url) & {*EXPIRED} == set()
    assert {*EXPIRED} <= tables_there(url)


def test_the_day_before_the_last_that_is_kept_stays(url: str) -> None:
    retained(url)
    assert min(attached(url)) == "events_p2027_03_15"


def test_what_was_detached_is_dropped_after_the_grace_and_not_before(url: str) -> None:
    retained(url)
    soon = retained(url, NOW + timedelta(days=1, hours=11))
    assert not [each for each in soon.done if each.what == "dropped"]
    assert [each.partition for each in retained(url, LATER).done if each.what == "dropped"] == EXPIRED
    assert not {*EXPIRED} & tables_there(url)


def test_a_dry_run_changes_nothing(url: str) -> None:
    before = relations(url), attached(url)
    assert done(retained(url, dry_run=True)) == [("detached", name) for name in EXPIRED]
    assert (relations(url), attached(url)) == before


def test_what_does_not_carry_the_mark_stays(url: str) -> None:
    execute(url, f"COMMENT ON TABLE {EXPIRED[0]} IS 'of accounting'")
    found = retained(url)
    assert [(each.partition, each.waits) for each in found.kept] == [(EXPIRED[0], False)]
    assert EXPIRED[0] in attached(url)


def test_a_table_whose_mark_was_taken_away_is_not_dropped(url: str) -> None:
    retained(url)
    execute(url, f"COMMENT ON TABLE {EXPIRED[0]} IS 'of accounting'")
    retained(url, LATER)
    assert {*EXPIRED} & tables_there(url) == {EXPIRED[0]}


def test_what_was_attached_again_is_not_dropped(url: str) -> None:
    retained(url)
    execute(
        url,
        f"ALTER TABLE events ATTACH PARTITION {EXPIRED[2]} FOR VALUES FROM ('2027-03-14Z') TO ('2027-03-15Z')",
    )
    keep = settings(retention={"keep": "50 days", "grace": "2 days"})
    retained(url, LATER, tables=keep)
    assert EXPIRED[2] in attached(url)


def test_a_view_on_a_detached_table_keeps_it(url: str) -> None:
    retained(url)
    execute(url, f"CREATE VIEW old AS SELECT id FROM {EXPIRED[1]}")
    found = retained(url, LATER)
    assert [each.partition for each in found.kept if not each.waits] == [EXPIRED[1]]
    assert {*EXPIRED} & tables_there(url) == {EXPIRED[1]}


def test_nothing_is_dropped_before_it_is_archived(url: str) -> None:
    tables = settings(retention={"keep": "5 days", "grace": "2 days", "archive": "parquet"})
    retained(url, tables=tables)
    found = retained(url, LATER, tables=tables, archived=lambda _, leaf: leaf.name == EXPIRED[1])
    assert {*EXPIRED} & tables_there(url) == {EXPIRED[0], EXPIRED[2]}
    assert all(each.waits for each in found.kept)


def test_detached_tables_may_be_kept_for_good(url: str) -> None:
    tables = settings(retention={"keep": "5 days", "then": "keep"})
    retained(url, tables=tables)
    retained(url, NOW + timedelta(days=300), tables=tables)
    assert {*EXPIRED} <= tables_there(url)


def test_rows_that_are_referred_to_stay(url: str) -> None:
    execute(
        url,
        "INSERT INTO events (id, at) VALUES (1, '2027-03-13 10:00Z');"
        "CREATE TABLE notes (event bigint, at timestamptz, FOREIGN KEY (event, at) REFERENCES events (id, at));"
        "INSERT INTO notes VALUES (1, '2027-03-13 10:00Z')",
    )
    found = retained(url)
    assert done(found) == [("detached", EXPIRED[0]), ("detached", EXPIRED[2])]
    assert [each.reason for each in found.kept] == ["rows of notes still refer to it"]


def test_a_gap_of_what_left_is_not_filled_again(url: str) -> None:
    test_rows_that_are_referred_to_stay(url)
    (made,) = premake(url, settings(), EVENTS, NOW)
    assert made.made == ()


def test_an_interrupted_detach_is_ended(url: str) -> None:
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM events")
        with pytest.raises(StillHeld, match=EXPIRED[0]):
            retained(url, budget=0.2)
    assert done(retained(url))[0] == ("finalized", EXPIRED[0])
    assert attached(url) & {*EXPIRED} == set()


def test_writers_do_not_wait_behind_a_reader(url: str) -> None:
    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as writer:
        reader.execute("SELECT count(*) FROM events")
        writer.execute("SET statement_timeout = '20s'")
        runs = threading.Thread(target=lambda: _held(url))
        runs.start()
        written = 0
        while runs.is_alive():
            writer.execute("INSERT INTO events (at) VALUES (%s)", (NOW,))
            written += 1
        runs.join()
    assert written > 0


def _held(url: str) -> None:
    with pytest.raises(StillHeld):
        retained(url, budget=0.3)


def test_a_default_partition_stands_in_the_way(url: str) -> None:
    execute(url, "CREATE TABLE astray PARTITION OF events DEFAULT")
    with pytest.raises(DefaultInTheWay, match="astray"):
        retained(url)


def test_clocks_that_are_apart_are_refused(url: str) -> None:
    with pytest.raises(ClocksApart):
        retain(url, settings(), EVENTS, NOW, environment=Environment(server_clock=lambda _: LATER))
    assert {*EXPIRED} <= attached(url)


def test_a_grace_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(BadOptions, match=r"retention\.grace"):
        retained(url, tables=settings(retention={"keep": "5 days", "grace": "soon"}))


def test_two_at_once_detach_each_once(url: str) -> None:
    found: list[tuple[str, str]] = []

    def run() -> None:
        found.extend(done(retained(url)))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [("detached", name) for name in EXPIRED]


def test_tables_it_refers_to_are_let_go_before_the_drop(make_database: MakeDatabase) -> None:
    url = make_database()
    make_events(
        url,
        begin=BEGIN,
        extras="CREATE TABLE kinds (id int PRIMARY KEY);ALTER TABLE events ADD kind int REFERENCES kinds",
    )
    retained(url)
    execute(
        url, "INSERT INTO kinds VALUES (1); INSERT INTO events (at, kind) VALUES ('2027-03-20 10:00Z', 1)"
    )
    assert [each.partition for each in retained(url, LATER).done if each.what == "dropped"] == EXPIRED


def test_runs_that_die_anywhere_are_ended_by_the_next(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, after in enumerate(range(10, 70, 6)):
        with dying(monkeypatch, (retain_partitions,), after, before_the_last=bool(number % 2)):
            retained(url)
    retained(url)
    assert attached(url) & {*EXPIRED} == set()
    assert {*EXPIRED} <= tables_there(url)
    for number, after in enumerate(range(10, 70, 6)):
        with dying(monkeypatch, (retain_partitions,), after, before_the_last=bool(number % 2)):
            retained(url, LATER)
    retained(url, LATER)
    assert not {*EXPIRED} & tables_there(url)
