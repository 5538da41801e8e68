"""Tables that somebody else partitioned are understood, described, and kept ready from there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from support.orders import NOW, execute, relations, scalar

from evolve import config
from evolve.app.adopt_partitions import (
    Adoption,
    AdoptWish,
    CannotWriteSettings,
    KeyNotTaken,
    adopt,
    plan_adoption,
)
from evolve.app.convert_table import BadOptions
from evolve.app.premake_partitions import premake
from evolve.postgres.partitions import NotPartitioned
from evolve.report.partition_adoption import adoption_text
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

EVENTS = QualifiedName("events")

MONTHLY = """
CREATE TABLE events (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_y2026m09 PARTITION OF events FOR VALUES FROM ('2026-09-01 00:00+00') TO ('2026-10-01 00:00+00');
CREATE TABLE events_y2026m10 PARTITION OF events FOR VALUES FROM ('2026-10-01 00:00+00') TO ('2026-11-01 00:00+00');
CREATE TABLE events_y2026m11 PARTITION OF events FOR VALUES FROM ('2026-11-01 00:00+00') TO ('2026-12-01 00:00+00');
"""


def look(url: str, folder: Path, table: QualifiedName = EVENTS, **given: object) -> Adoption:
    file = next((path for path in (folder / "pyproject.toml", folder / "evolve.toml") if path.exists()), None)
    return plan_adoption(url, {}, AdoptWish(table, None, given, file, folder), NOW)


def test_months_made_by_hand_are_adopted_and_kept_ready(database_url: str, tmp_path: Path) -> None:
    execute(database_url, MONTHLY + "COMMENT ON TABLE events_y2026m09 IS 'audited'")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\n\n[tool.evolve]\n')
    before = relations(database_url)
    found = look(database_url, tmp_path)
    assert found.options == {"key": "at", "interval": "month"}
    assert found.fitting == 3
    assert "nothing was changed; --run writes the settings into" in adoption_text(found, done=False)

    adopt(database_url, found)
    assert relations(database_url) == before
    comment = scalar(database_url, "SELECT obj_description('events_y2026m09'::regclass, 'pg_class')")
    assert comment == "made by evolve: partition of events, adopted; audited"
    settings = config.load(tmp_path)
    assert settings.partition["events"].method == "range"
    (done,) = premake(database_url, settings.partition, None, NOW)
    assert [each.name for each in done.made] == ["events_p2026_12", "events_p2027_01", "events_p2027_02"]
    again = plan_adoption(
        database_url, settings.partition, AdoptWish(EVENTS, None, {}, settings.file, tmp_path), NOW
    )
    assert (again.settings, again.unmarked) == ("", ())


def test_what_is_out_of_the_ordinary_is_told(database_url: str, tmp_path: Path) -> None:
    execute(
        database_url,
        MONTHLY
        + """
        CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-02-15 00:00+00');
        CREATE TABLE events_rest PARTITION OF events DEFAULT WITH (fillfactor = 50);
        CREATE INDEX ON events_y2026m09 (id);
        INSERT INTO events VALUES (1, '2031-05-05');
        """,
    )
    said = "\n".join(look(database_url, tmp_path).remarks)
    for each in (
        "4 partitions keep names of another kind: events_old, where evolve would say events_p2026_01_to_20260215",
        "events_old ends at 2026-02-15 00:00:00+00:00, where no interval of 1 month begins",
        "events_rest is a default partition",
        "events_rest holds rows, which stand in the way of the partitions that they belong to",
        "storage parameters: events_rest: fillfactor=50, the others: none",
        "own indexes: events_y2026m09: btree (id), the others: none",
        "no partition takes FROM ('2026-02-15 00:00:00+00') TO ('2026-09-01 00:00:00+00')",
    ):
        assert each in said


CASES: Mapping[str, tuple[str, dict[str, object]]] = {
    "days of a zone": (
        "at timestamptz) PARTITION BY RANGE (at);"
        "CREATE TABLE a PARTITION OF events FOR VALUES FROM ('2026-03-28 23:00Z') TO ('2026-03-29 22:00Z');"
        "CREATE TABLE b PARTITION OF events FOR VALUES FROM ('2026-03-29 22:00Z') TO ('2026-03-30 22:00Z')",
        {"key": "at", "interval": "day", "timezone": "Europe/Berlin"},
    ),
    "fortnights": (
        "at date) PARTITION BY RANGE (at);"
        "CREATE TABLE a PARTITION OF events FOR VALUES FROM ('2026-01-05') TO ('2026-01-19');"
        "CREATE TABLE b PARTITION OF events FOR VALUES FROM ('2026-01-19') TO ('2026-02-02')",
        {"key": "at", "interval": "14 days"},
    ),
    "integers": (
        "n bigint) PARTITION BY RANGE (n);"
        "CREATE TABLE a PARTITION OF events FOR VALUES FROM (MINVALUE) TO (0);"
        "CREATE TABLE b PARTITION OF events FOR VALUES FROM (0) TO (250000);"
        "CREATE TABLE c PARTITION OF events FOR VALUES FROM (250000) TO (500000)",
        {"key": "n", "interval": 250000},
    ),
    "sets": (
        "country text) PARTITION BY LIST (country);"
        "CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('de', 'fr');"
        "CREATE TABLE events_in_us PARTITION OF events FOR VALUES IN ('us', NULL);"
        "CREATE TABLE events_rest PARTITION OF events DEFAULT",
        {
            "key": "country",
            "values": {"eu": ["de", "fr"], "set_in_us": ["us"]},
            "null": "set_in_us",
            "default": "guard",
        },
    ),
    "window": (
        "batch integer) PARTITION BY LIST (batch);"
        "CREATE TABLE a PARTITION OF events FOR VALUES IN (7); CREATE TABLE b PARTITION OF events FOR VALUES IN (8)",
        {"key": "batch", "window": 7},
    ),
    "hash of a text": (
        "name text) PARTITION BY HASH (name);"
        "CREATE TABLE a PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE b PARTITION OF events FOR VALUES WITH (MODULUS 4, REMAINDER 1);"
        "CREATE TABLE c PARTITION OF events FOR VALUES WITH (MODULUS 4, REMAINDER 3)",
        {"key": "name", "modulus": 4},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_schemes_are_found_and_written_as_they_are_read(database_url: str, tmp_path: Path, case: str) -> None:
    statements, expected = CASES[case]
    name = scalar(database_url, "SELECT current_database()")
    execute(
        database_url,
        f"ALTER DATABASE {name} SET timezone = 'Europe/Berlin'; CREATE TABLE events ({statements}",
    )
    found = look(database_url, tmp_path)
    assert found.options == expected
    adopt(database_url, found)
    written = config.load(tmp_path).partition["events"]
    assert dict(written.options) == expected


@pytest.mark.parametrize(
    ("statements", "error"),
    [
        ("at date)", NotPartitioned),
        ("a int, b int) PARTITION BY RANGE (a, b)", KeyNotTaken),
        ("a int) PARTITION BY LIST ((a % 5))", KeyNotTaken),
        ("at date) PARTITION BY RANGE (at)", BadOptions),
        (
            "at date) PARTITION BY RANGE (at);"
            "CREATE TABLE a PARTITION OF events FOR VALUES FROM ('2026-01-05') TO ('2026-01-20')",
            BadOptions,
        ),
    ],
)
def test_what_no_method_can_keep_ready_is_refused(
    database_url: str, tmp_path: Path, statements: str, error: type[Exception]
) -> None:
    execute(database_url, f"CREATE TABLE events ({statements}")
    with pytest.raises(error):
        look(database_url, tmp_path)


def test_an_empty_parent_is_adopted_where_the_interval_is_said(database_url: str, tmp_path: Path) -> None:
    execute(database_url, "CREATE TABLE events (at date) PARTITION BY RANGE (at)")
    assert look(database_url, tmp_path, interval="week").due.create


def test_settings_that_cannot_take_it_are_left_alone(database_url: str, tmp_path: Path) -> None:
    execute(database_url, MONTHLY)
    file = tmp_path / "evolve.toml"
    file.write_text("partition = {}\n")
    with pytest.raises(CannotWriteSettings, match=r"\[partition.events\]"):
        adopt(database_url, look(database_url, tmp_path))
    assert file.read_text() == "partition = {}\n"
    assert scalar(database_url, "SELECT obj_description('events_y2026m09'::regclass, 'pg_class')") is None


def test_pg_partman_is_told_of_and_its_premake_kept(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        there = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'pg_partman'").fetchone()
    if there is None:
        pytest.skip("pg_partman is not installed in this server")
    execute(
        database_url,
        """
        CREATE SCHEMA partman;
        CREATE EXTENSION pg_partman SCHEMA partman;
        CREATE TABLE events (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);
        """,
    )
    version = str(scalar(database_url, "SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'"))
    kind = "'native', " if version.startswith("4") else ""
    kind, span = ("'native', ", "'monthly'") if kind else ("", "'1 month'")
    execute(
        database_url,
        f"SELECT partman.create_parent('public.events', 'at', {kind}{span}, p_premake => 5)",
    )
    found = look(database_url, tmp_path)
    assert (found.options["interval"], found.options["premake"]) == ("month", "5 months")
    assert any("pg_partman maintains it as well (interval 1 mon" in remark for remark in found.remarks)
