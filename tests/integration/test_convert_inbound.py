"""Foreign keys that point at a table go along when it is converted, and come back with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Literal

import psycopg
import pytest
from support.conversion import Watcher, converted
from support.orders import NOW, execute, scalar

from evolve.app import convert_table
from evolve.app.convert_table import Environment, Interrupted, Patience
from evolve.partition.conversion import Conversion, Record
from evolve.partition.obstacles import CannotConvert
from evolve.partition.plan import Wish
from evolve.partition.steps import Step
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

TABLE = QualifiedName("parcels")
HASH: Mapping[str, object] = {"key": "id", "modulus": 2}
RANGE: Mapping[str, object] = {"key": "id", "interval": 100}


@pytest.fixture
def parcels(database_url: str) -> str:
    """300 parcels with 300 labels, which go and change with them, and a deferred key to a unique index."""
    execute(
        database_url,
        """
        CREATE TABLE parcels (id bigint PRIMARY KEY, region text NOT NULL);
        INSERT INTO parcels SELECT g, 'de' FROM generate_series(1, 300) g;
        CREATE UNIQUE INDEX parcels_id_region ON parcels (region, id);
        CREATE TABLE labels (
            parcel bigint NOT NULL CONSTRAINT labels_parcel REFERENCES parcels ON DELETE CASCADE ON UPDATE CASCADE);
        INSERT INTO labels SELECT generate_series(1, 300);
        CREATE SCHEMA "Other";
        CREATE TABLE "Other"."Stamps" (parcel bigint, region text,
            CONSTRAINT "both of" FOREIGN KEY (parcel, region) REFERENCES parcels (id, region)
                DEFERRABLE INITIALLY DEFERRED);
        COMMENT ON CONSTRAINT labels_parcel ON labels IS 'what it is stuck on'
        """,
    )
    return database_url


@pytest.fixture
def modern(parcels: str) -> str:
    """The same, on a server that carries them."""
    if scalar(parcels, "SELECT current_setting('server_version_num')::int") < 150_000:  # type: ignore[operator]
        pytest.skip("refused there")
    return parcels


def planned(
    url: str, recipe: Literal["auto", "copy", "attach"], method: str, options: Mapping[str, object]
) -> Conversion:
    return convert_table.plan_conversion(url, Wish(TABLE, method, options, recipe), NOW)


def rolled_back(url: str) -> Record:
    return convert_table.roll_back(
        url,
        TABLE,
        observer=Watcher(),
        patience=Patience(budget=20.0),
        environment=Environment(now=lambda: NOW),
    )


def keys(url: str) -> object:
    """Inbound keys of the table itself, those of single partitions left out."""
    return scalar(
        url,
        "SELECT array_agg(concat_ws(' | ', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated,"
        " obj_description(oid, 'pg_constraint')) ORDER BY conname) FROM pg_constraint"
        " WHERE confrelid = 'parcels'::regclass AND contype = 'f' AND conparentid = 0",
    )


@pytest.mark.parametrize(
    ("recipe", "method", "options"),
    [
        ("copy", "hash", HASH),
        ("attach", "range", RANGE),
        pytest.param("copy", "range", RANGE, marks=pytest.mark.long),
    ],
)
def test_they_go_along_and_come_back(
    modern: str, recipe: Literal["copy", "attach"], method: str, options: Mapping[str, object]
) -> None:
    before = keys(modern)
    converted(modern, planned(modern, recipe, method, options))
    assert keys(modern) == before
    assert "| t | what it is stuck on" in str(before)

    execute(modern, "DELETE FROM parcels WHERE id = 7; UPDATE parcels SET id = 350 WHERE id = 8")
    assert scalar(modern, "SELECT count(*) FROM labels WHERE parcel IN (7, 8)") == 0
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        execute(modern, "INSERT INTO labels VALUES (5000)")
    assert rolled_back(modern).state == "abandoned"
    assert keys(modern) == before
    execute(modern, "DELETE FROM parcels WHERE id = 9")
    assert scalar(modern, "SELECT count(*) FROM labels") == 298


def test_a_way_back_that_stops_behind_the_swap_still_validates_them(modern: str) -> None:
    before = keys(modern)
    converted(modern, planned(modern, "copy", "hash", HASH))
    stops = iter([False, True])
    with pytest.raises(Interrupted):
        convert_table.roll_back(
            modern,
            TABLE,
            observer=Watcher(),
            environment=Environment(now=lambda: NOW, stop=lambda: next(stops, True)),
        )
    assert scalar(modern, "SELECT convalidated FROM pg_constraint WHERE conname = 'labels_parcel'") is False
    assert rolled_back(modern).state == "abandoned"
    assert keys(modern) == before


@pytest.mark.parametrize(
    ("change", "method", "options", "said", "fix"),
    [
        (
            "ALTER TABLE parcels DROP CONSTRAINT IF EXISTS x",
            "hash",
            {"key": "region", "modulus": 2},
            "(id) is not kept unique across partitions by region",
            "partition by id (range or hash)",
        ),
        (
            "ALTER TABLE parcels ADD parent bigint CONSTRAINT up REFERENCES parcels",
            "hash",
            HASH,
            "at itself",
            "DROP CONSTRAINT up",
        ),
        (
            "CREATE TABLE parts (parcel bigint CONSTRAINT part_of REFERENCES parcels) PARTITION BY HASH (parcel)",
            "hash",
            HASH,
            "comes from a partitioned table",
            "partition by partition",
        ),
    ],
)
def test_those_that_cannot_go_along_are_refused(
    parcels: str, change: str, method: str, options: Mapping[str, object], said: str, fix: str
) -> None:
    execute(parcels, change)
    with pytest.raises(CannotConvert) as refusal:
        planned(parcels, "copy", method, options)
    obstacles = [each for each in refusal.value.obstacles if said in each.what]
    assert obstacles
    assert fix in obstacles[0].fix
    assert scalar(parcels, "SELECT to_regnamespace('evolve') IS NULL") is True


@pytest.mark.parametrize(
    ("recipe", "method", "options"),
    [
        ("copy", "hash", HASH),
        pytest.param("attach", "range", {"key": "id", "interval": 100_000}, marks=pytest.mark.long),
    ],
)
def test_clients_of_both_tables_pass_while_the_swap_waits(
    modern: str, recipe: Literal["copy", "attach"], method: str, options: Mapping[str, object]
) -> None:
    """A reader of the other table stands in the way of the swap, which steps back and tries again."""
    errors: list[str] = []
    longest = [0.0]
    stop = threading.Event()

    def client(number: int) -> None:
        with psycopg.connect(modern, autocommit=True) as connection:
            for parcel in range(number, 1_000_000, 2):
                began = time.monotonic()
                try:
                    connection.execute("INSERT INTO parcels VALUES (%s, 'fr')", (parcel,))
                    connection.execute("INSERT INTO labels VALUES (%s)", (parcel,))
                    connection.execute("DELETE FROM parcels WHERE id = %s", (parcel - 10,))
                except psycopg.Error as error:
                    errors.append(str(error))
                longest[0] = max(longest[0], time.monotonic() - began)
                if stop.wait(0.002):
                    return

    class Reads(Watcher):
        """Lets the reader go once the swap has stepped back twice."""

        stepped_back = 0

        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if getattr(step, "name", "") == "swap":
                reader.execute("SELECT count(*) FROM labels")

        def waits(self, step: Step, reason: str, seconds: float) -> None:
            super().waits(step, reason, seconds)
            self.stepped_back += step.name == "swap"
            if self.stepped_back == 2:
                reader.rollback()

    threads = [threading.Thread(target=client, args=(1_000 + number,)) for number in range(2)]
    with psycopg.connect(modern) as reader:
        for thread in threads:
            thread.start()
        watcher = Reads()
        try:
            record = converted(modern, planned(modern, recipe, method, options), watcher)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    print(f"{recipe}: longest {longest[0] * 1000:.0f} ms, {len(watcher.waited)} waits")  # noqa: T201 - shown with -s
    assert record.state == "swapped"
    assert errors == []
    assert scalar(modern, "SELECT count(*) FROM labels WHERE parcel NOT IN (SELECT id FROM parcels)") == 0


def test_a_server_that_takes_a_move_for_a_deletion_carries_none_that_acts(parcels: str) -> None:
    if scalar(parcels, "SELECT current_setting('server_version_num')::int") >= 150_000:  # type: ignore[operator]
        pytest.skip("carried there")
    with pytest.raises(CannotConvert, match="upgrade to PostgreSQL 15"):
        planned(parcels, "copy", "hash", HASH)
