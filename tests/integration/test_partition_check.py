"""`check` tells each thing that goes wrong with a partitioned table, and only that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from support.orders import execute
from support.servers import MakeDatabase, MakeTemplate
from support.upkeep import EVENTS, NOW, make_events, retained, settings

from evolve.app.check_partitions import check_partitions
from evolve.app.convert_table import BadOptions
from evolve.app.retain_partitions import StillHeld
from evolve.config import PartitionedTable
from evolve.partition.health import Level
from evolve.partition.upkeep import Checked
from evolve.report.partition_upkeep import checked_data, checked_text, metrics_text

pytestmark = pytest.mark.server


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    return make_database(make_template("events to check", make_events))


def checked(url: str, now: datetime = NOW, **options: object) -> Checked:
    (one,) = check_partitions(url, settings(**options), EVENTS, now)
    return one


def ailments(found: Checked) -> list[tuple[str, Level]]:
    return [(each.name, each.level) for each in found.ailments]


def test_a_table_that_is_looked_after_is_well(url: str) -> None:
    found = checked(url)
    assert ailments(found) == []
    assert found.level is Level.OK


def test_little_future_is_a_warning(url: str) -> None:
    assert ailments(checked(url, NOW + timedelta(days=2))) == [("future", Level.WARNING)]


def test_how_little_may_be_said(url: str) -> None:
    assert ailments(checked(url, alert_below="5 days")) == [("future", Level.WARNING)]


def test_no_future_is_critical(url: str) -> None:
    assert ("future", Level.CRITICAL) in ailments(checked(url, NOW + timedelta(days=4)))


def test_rows_in_a_default_partition_are_told(url: str) -> None:
    execute(
        url, "CREATE TABLE astray PARTITION OF events DEFAULT; INSERT INTO events (at) VALUES ('2027-05-01Z')"
    )
    found = checked(url)
    assert [each.fix for each in found.ailments if each.name == "default"] == [
        "evolve partition drain events"
    ]


def test_an_interrupted_detach_is_told(url: str) -> None:
    later = NOW + timedelta(days=6)
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM events")
        with pytest.raises(StillHeld):
            retained(url, later, budget=0.1)
    assert ("pending", Level.WARNING) in ailments(checked(url, later))


def test_an_invalid_index_is_told(url: str) -> None:
    execute(url, "CREATE INDEX events_at ON ONLY events (at)")
    assert ailments(checked(url)) == [("invalid", Level.WARNING)]


def test_a_partition_unlike_the_others_is_told(url: str) -> None:
    execute(url, "ALTER TABLE events_p2027_03_22 SET (fillfactor = 50)")
    found = checked(url)
    assert [(each.name, "events_p2027_03_22" in each.what) for each in found.ailments] == [("unlike", True)]


def test_what_should_have_left_is_told_after_two_days(url: str) -> None:
    execute(url, "CREATE TABLE later PARTITION OF events FOR VALUES FROM ('2027-03-24Z') TO ('2028-01-01Z')")
    due = datetime(2027, 3, 26, 1, tzinfo=UTC)
    assert "expired" not in [name for name, _ in ailments(checked(url, due + timedelta(days=1)))]
    assert "expired" in [name for name, _ in ailments(checked(url, due + timedelta(days=2)))]


def test_what_should_be_gone_is_told(url: str) -> None:
    later = NOW + timedelta(days=6)
    retained(url, later)
    assert "overdue" in [name for name, _ in ailments(checked(url, later + timedelta(days=5)))]


def test_a_partition_of_somebody_else_is_told(url: str) -> None:
    execute(url, "COMMENT ON TABLE events_p2027_03_20 IS 'mine'")
    assert ailments(checked(url)) == [("unmarked", Level.WARNING)]


def test_a_gap_is_told(url: str) -> None:
    execute(url, "DROP TABLE events_p2027_03_22")
    assert ("gap", Level.WARNING) in ailments(checked(url))


def test_a_parent_that_was_never_analyzed_is_told_until_it_is(url: str) -> None:
    execute(url, "INSERT INTO events (at) SELECT '2027-03-20 10:00Z' FROM generate_series(1, 2000)")
    execute(url, "ANALYZE events_p2027_03_20")
    assert ailments(checked(url)) == [("statistics", Level.WARNING)]
    execute(url, "ANALYZE events")
    assert ailments(checked(url)) == []


def test_another_scheme_than_the_table_has_is_critical(url: str) -> None:
    other = {"events": PartitionedTable("range", {"key": "id", "interval": 1000})}
    (found,) = check_partitions(url, other, EVENTS, NOW)
    assert ailments(found) == [("unknown", Level.CRITICAL)]


def test_an_alert_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(BadOptions, match="alert_below"):
        checked(url, alert_below="soon")


def test_keys_are_counted_where_the_clock_does_not_say(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE events (id bigint) PARTITION BY RANGE (id);"
        "CREATE TABLE events_p0 PARTITION OF events FOR VALUES FROM (0) TO (1000);"
        "COMMENT ON TABLE events_p0 IS 'made by evolve: partition of events';"
        "INSERT INTO events VALUES (989)",
    )
    tables = {"events": PartitionedTable("range", {"key": "id", "interval": 1000})}
    (found,) = check_partitions(database_url, tables, EVENTS, NOW)
    assert found.health is not None
    assert found.health.future.keys == 10
    assert ailments(found) == [("future", Level.WARNING)]
    execute(database_url, "INSERT INTO events VALUES (999)")
    (found,) = check_partitions(database_url, tables, EVENTS, NOW)
    assert ailments(found) == [("future", Level.CRITICAL)]


def test_metrics_are_what_prometheus_reads(url: str) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    found = checked(url, NOW + timedelta(days=2))
    families = parser.text_string_to_metric_families(metrics_text([found]) + "\n")
    values = {family.name: [(s.labels, s.value) for s in family.samples] for family in families}
    assert values["evolve_partition_level"] == [({"table": "events"}, 1.0)]
    assert values["evolve_partition_future_days"] == [({"table": "events"}, 1.5)]


def test_text_and_json_tell_the_same(url: str) -> None:
    found = checked(url, NOW + timedelta(days=2))
    assert "events: warning" in checked_text([found])
    data = checked_data([found])
    assert data["level"] == "warning"
