"""Tables become partitioned by hash and by list, and what they were again, with every row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
from support.conversion import Watcher, converted
from support.orders import NOW, execute, scalar

from evolve.app import convert_table
from evolve.app.convert_table import Environment, Patience
from evolve.app.premake_partitions import premake
from evolve.partition.conversion import Conversion
from evolve.partition.plan import NoDefaultYet, Wish
from evolve.plugin_api import NoPartitionFor
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

TABLE = QualifiedName("parcels")
SETS = {"key": "region", "values": {"eu": ["de", "fr"], "us": ["us"]}}


@pytest.fixture
def parcels(database_url: str) -> str:
    execute(
        database_url,
        "CREATE TABLE parcels (id bigint PRIMARY KEY, region text NOT NULL, batch integer NOT NULL DEFAULT 100)",
    )
    execute(
        database_url,
        "INSERT INTO parcels (id, region) "
        "SELECT g, (ARRAY['de', 'fr', 'us'])[g % 3 + 1] FROM generate_series(1, 300) g",
    )
    return database_url


def planned(
    url: str, method: str, options: Mapping[str, object], recipe: Literal["auto", "copy", "attach"]
) -> Conversion:
    return convert_table.plan_conversion(url, Wish(TABLE, method, options, recipe), NOW)


@pytest.mark.parametrize(
    ("method", "options", "recipe", "partitions"),
    [
        ("hash", {"key": "id", "modulus": 4}, "auto", 4),
        ("hash", {"key": "id", "modulus": 4}, "attach", 1),
        ("list", SETS, "auto", 1),
        ("list", SETS, "copy", 2),
        ("list", {**SETS, "default": "guard"}, "attach", 2),
        ("list", {"key": "batch", "window": 100, "premake": 3}, "auto", 3),
    ],
)
def test_a_table_is_converted_and_comes_back_whole(
    parcels: str,
    method: str,
    options: Mapping[str, object],
    recipe: Literal["auto", "copy", "attach"],
    partitions: int,
) -> None:
    converted(parcels, planned(parcels, method, options, recipe))
    assert (
        scalar(parcels, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'parcels'::regclass")
        == partitions
    )
    assert scalar(parcels, "SELECT count(*) FROM parcels") == 300
    convert_table.roll_back(
        parcels,
        TABLE,
        observer=Watcher(),
        patience=Patience(budget=20.0),
        environment=Environment(now=lambda: NOW),
    )
    assert scalar(parcels, "SELECT relkind::text FROM pg_class WHERE oid = 'parcels'::regclass") == "r"
    assert scalar(parcels, "SELECT count(*) FROM parcels") == 300
    assert (
        scalar(
            parcels,
            "SELECT count(*) FROM pg_constraint WHERE conrelid = 'parcels'::regclass AND contype = 'c'",
        )
        == 0
    )


def test_a_hash_that_is_given_up_half_way_leaves_nothing(parcels: str) -> None:
    conversion = planned(parcels, "hash", {"key": "id", "modulus": 4}, "attach")
    stopped = iter([False, False, False, True])
    with pytest.raises(convert_table.Interrupted):
        convert_table.convert(
            parcels,
            conversion,
            observer=Watcher(),
            patience=Patience(budget=20.0),
            environment=Environment(now=lambda: NOW, stop=lambda: next(stopped, True)),
        )
    convert_table.roll_back(parcels, TABLE, observer=Watcher())
    assert scalar(parcels, "SELECT count(*) FROM pg_class WHERE relname LIKE 'parcels%evolve%'") == 0
    execute(parcels, "INSERT INTO parcels VALUES (301, 'de')")


def test_a_value_of_no_set_is_refused_before_anything_is_made(parcels: str) -> None:
    execute(parcels, "INSERT INTO parcels VALUES (301, 'at')")
    with pytest.raises(NoPartitionFor, match='"region" is at'):
        planned(parcels, "list", SETS, "copy")


def test_a_copy_into_a_scheme_with_a_default_partition_is_refused(parcels: str) -> None:
    with pytest.raises(NoDefaultYet):
        planned(parcels, "list", {**SETS, "default": "guard"}, "copy")


def test_the_window_is_kept_ahead_of_the_rows(parcels: str) -> None:
    converted(parcels, planned(parcels, "list", {"key": "batch", "window": 100, "premake": 1}, "auto"))
    execute(parcels, "INSERT INTO parcels VALUES (301, 'de', 101)")
    [done] = premake(parcels, {}, TABLE, NOW)
    assert [partition.name for partition in done.made] == ["parcels_102"]
