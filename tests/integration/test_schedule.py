"""Units of schedulers: each is what its scheduler reads, and the role that they name may do what they run."""

from __future__ import annotations

import configparser
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from support.orders import execute, scalar
from support.servers import MakeDatabase, MakeTemplate
from support.upkeep import EVENTS, NOW, attached, make_events, settings

from evolve.app.check_partitions import check_partitions
from evolve.app.premake_partitions import premake
from evolve.app.retain_partitions import Environment, retain
from evolve.app.schedule_upkeep import NotByTime, schedule
from evolve.config import PartitionedTable
from evolve.partition.schedule import NoImage, NoSuchTime, Scheduler

pytestmark = pytest.mark.server


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    return make_database(make_template("events to schedule", make_events))


def unit(
    url: str, scheduler: Scheduler, *, at: str = "03:17", image: str | None = "app:1", role: str = "upkeep"
) -> str:
    folder = Path("/srv/the app")
    return schedule(
        url,
        settings(),
        EVENTS,
        NOW,
        scheduler,
        role=role,
        at=at,
        folder=folder,
        options=("--models",),
        image=image,
    )


def test_cron_runs_each_by_itself(url: str) -> None:
    lines = [line for line in unit(url, "cron").splitlines() if line and not line.startswith("#")]
    assert lines == [
        "17 3 * * *  cd '/srv/the app' && evolve partition premake events --models",
        "47 3 * * *  cd '/srv/the app' && evolve partition retain events --models",
        "*/15 * * * *  out=$(cd '/srv/the app' && evolve partition check events --models) || echo \"$out\"",
    ]


def test_half_an_hour_after_the_last_is_tomorrow(url: str) -> None:
    assert "15 0 * * *  cd '/srv/the app' && evolve partition retain" in unit(url, "cron", at="23:45")


def test_systemd_reads_its_units(url: str) -> None:
    files = re.split(r"^# (/etc/systemd/system/\S+)$", unit(url, "systemd"), flags=re.MULTILINE)[1:]
    read = {}
    for name, text in zip(files[::2], files[1::2], strict=True):
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[method-assign, assignment]
        parser.read_string(text)
        read[name.rpartition("/")[2]] = parser
    assert len(read) == 6
    assert read["evolve-partition-retain.timer"]["Timer"]["OnCalendar"] == "*-*-* 03:47:00"
    assert (
        read["evolve-partition-premake.service"]["Service"]["ExecStart"]
        == "/usr/bin/env evolve partition premake events --models"
    )


def test_kubernetes_reads_its_jobs(url: str) -> None:
    yaml = pytest.importorskip("yaml")
    jobs = [job for job in yaml.safe_load_all(unit(url, "k8s")) if job]
    assert [(job["metadata"]["name"], job["spec"]["schedule"]) for job in jobs] == [
        ("evolve-partition-premake", "17 3 * * *"),
        ("evolve-partition-retain", "47 3 * * *"),
        ("evolve-partition-check", "*/15 * * * *"),
    ]


def test_a_job_without_an_image_is_refused(url: str) -> None:
    with pytest.raises(NoImage):
        unit(url, "k8s", image=None)


def test_what_is_no_time_is_refused(url: str) -> None:
    with pytest.raises(NoSuchTime):
        unit(url, "cron", at="25:00")


def test_pg_cron_makes_each_partition_when_its_time_comes(url: str) -> None:
    # pg_cron itself is no part of a server: what it would be told is remembered instead.
    execute(
        url,
        "CREATE SCHEMA cron; CREATE TABLE cron.job (name text, schedule text, command text, base text, role text);"
        "CREATE FUNCTION cron.schedule_in_database(text, text, text, text, text) RETURNS void LANGUAGE sql AS "
        "'INSERT INTO cron.job VALUES ($1, $2, $3, $4, $5)'",
    )
    text = (
        unit(url, "pg_cron", role="upkeep_by_cron")
        .replace("CREATE ROLE", "-- CREATE ROLE")
        .replace("GRANT", "-- GRANT")
    )
    before, seen = attached(url), []
    for moment in ("2027-03-20Z", "2027-04-01Z"):
        execute(url, text.replace("clock_timestamp()", f"timestamptz '{moment}'"))
        execute(
            url, str(scalar(url, "SELECT min(command) FROM cron.job WHERE name = 'evolve premake events'"))
        )
        seen.append(attached(url) - before)
    early, late = seen
    assert early == set()
    assert late >= {"events_p2027_03_24", "events_p2027_04_03"}
    assert "events_p2027_04_06" not in late


def test_what_the_rows_decide_is_not_for_pg_cron(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE events (id bigint) PARTITION BY RANGE (id);"
        "CREATE TABLE events_p0 PARTITION OF events FOR VALUES FROM (0) TO (1000); INSERT INTO events VALUES (5)",
    )
    tables = {"events": PartitionedTable("range", {"key": "id", "interval": 1000})}
    with pytest.raises(NotByTime):
        schedule(database_url, tables, EVENTS, NOW, "pg_cron", role="r", at="03:17", folder=Path())


def test_the_role_may_do_what_is_scheduled(make_database: MakeDatabase) -> None:
    url = make_database()
    execute(
        url,
        "CREATE ROLE owner_of_events; GRANT CREATE, USAGE ON SCHEMA public TO owner_of_events;"
        "CREATE TABLE kinds (id int PRIMARY KEY); ALTER TABLE kinds OWNER TO owner_of_events",
    )
    try:
        make_events(
            url,
            extras="ALTER TABLE events ADD kind int REFERENCES kinds; ALTER TABLE events OWNER TO owner_of_events",
        )
        text = unit(url, "cron", role="upkeep_of_events")
        statements = [line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   ")]
        execute(url, " ".join(statements))
        execute(url, "ALTER ROLE upkeep_of_events PASSWORD 'secret'")
        parts = urlsplit(url)
        as_role = urlunsplit(
            parts._replace(netloc=f"upkeep_of_events:secret@{parts.netloc.rpartition('@')[2]}")
        )
        later = NOW + timedelta(days=7)
        clock = Environment(server_clock=lambda _: later)
        premake(as_role, settings(), EVENTS, later)
        assert retain(as_role, settings(), EVENTS, later, environment=clock)[0].done
        dropped = later + timedelta(days=3)
        clock = Environment(server_clock=lambda _: dropped)
        found = retain(as_role, settings(), EVENTS, dropped, environment=clock)[0]
        assert [each.what for each in found.done].count("dropped") == 2
        check_partitions(as_role, settings(), EVENTS, datetime.now(UTC))
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY owner_of_events CASCADE")
            connection.execute("DROP ROLE IF EXISTS upkeep_of_events")
            connection.execute("DROP ROLE owner_of_events")
