"""Everything a table carries is there again once it is partitioned, and once more when it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
from support.carried import LEDGER, Facts, acted, catalogs, killed, leaves, make_ledger, planned
from support.conversion import converted
from support.orders import execute, scalar
from support.servers import MakeDatabase

from evolve.app.convert_table import partitioner_for
from evolve.partition.at_once import at_once
from evolve.partition.required_sql import converted_block

pytestmark = pytest.mark.server

RANGE = {"key": "id", "interval": 300}
HASH = {"key": "id", "modulus": 2}
SETS = {"key": "region", "values": {"eu": ["de", "fr"], "us": ["us"]}}


def changed(before: Facts, method: str) -> Facts:
    """What becomes of keys: one is unique within each partition only, another one is wider."""
    facts = {name: fact for name, fact in before.items() if not name.endswith("ledger_ref")}
    if method == "list":
        for name in ("constraint ledger_pkey", "index ledger_pkey"):
            facts[name] = facts[name].replace("(id)", "(id, region)")
    return facts


def wider(alone: Facts, method: str) -> Facts:
    return {
        ("index id,region" if (method, name) == ("list", "index id") else name): f
        for name, f in alone.items()
    }


@pytest.mark.parametrize(
    ("recipe", "method", "options"),
    [
        ("attach", "range", RANGE),
        ("copy", "list", SETS),
        ("copy", "hash", HASH),
        pytest.param("copy", "range", RANGE, marks=pytest.mark.long),
        pytest.param("attach", "list", SETS, marks=pytest.mark.long),
        pytest.param("attach", "hash", HASH, marks=pytest.mark.long),
    ],
)
def test_nothing_that_hangs_on_a_table_is_lost(
    database_url: str, recipe: Literal["copy", "attach"], method: str, options: Mapping[str, object]
) -> None:
    make_ledger(database_url)
    before = catalogs(database_url)
    [alone] = leaves(database_url).values()
    converted(database_url, planned(database_url, recipe, method, options))

    after = catalogs(database_url)
    assert {name: fact for name, fact in after.items() if not name.startswith("trigger !evolve")} == changed(
        before, method
    )
    for leaf in leaves(database_url).values():
        assert leaf == wider(alone, method)

    acted(database_url, "roll_back")
    assert catalogs(database_url) == before


def test_a_revision_loses_nothing_of_a_table_without_rows(database_url: str) -> None:
    """Tablespaces belong to a server: the one where the revision was written says nothing of others."""
    make_ledger(database_url)
    conversion = planned(database_url, "copy", "list", SETS)
    execute(database_url, "DROP PUBLICATION ledger_pub; TRUNCATE ledger CASCADE")
    before = changed(catalogs(database_url), "list")
    partitioner = partitioner_for(LEDGER, "list", SETS, conversion.inventory.for_plugins())
    statements = at_once(conversion, partitioner)
    execute(database_url, converted_block(LEDGER, conversion.plan_id, "list", ["region"], "", statements))
    assert catalogs(database_url) == {n: f.replace(" | carried_space", "") for n, f in before.items()}
    assert {leaf["newcomer reads"] for leaf in leaves(database_url).values()} == {"false"}


def test_what_is_lost_is_named_before(database_url: str) -> None:
    make_ledger(database_url)
    execute(
        database_url,
        "ALTER TABLE ledger CLUSTER ON ledger_both; ALTER INDEX ledger_some ALTER COLUMN 1 SET STATISTICS 500;"
        "REVOKE DELETE ON ledger FROM carried_owner",
    )
    notes = planned(database_url, "attach", "range", RANGE).notes
    assert {note for note in notes if note.startswith("not carried")} == {
        "not carried: statistics targets of expressions in index ledger_some",
        "not carried: that its owner gave up privileges on it",
        "not carried: the mark that CLUSTER left on index ledger_both",
    }


@pytest.mark.long
@pytest.mark.parametrize(
    ("moment", "then"), [("begins", "resume"), ("ends", "resume"), ("ends", "roll_back")]
)
@pytest.mark.parametrize(
    ("recipe", "method", "options"),
    [
        ("copy", "hash", HASH),
        ("attach", "hash", HASH),
        ("copy", "list", SETS),
        ("attach", "list", SETS),
        ("copy", "range", RANGE),
        ("attach", "range", RANGE),
    ],
)
def test_killed_at_every_step_whatever_the_method(
    make_database: MakeDatabase,
    recipe: Literal["copy", "attach"],
    method: str,
    options: Mapping[str, object],
    moment: Literal["begins", "ends"],
    then: Literal["resume", "roll_back"],
) -> None:
    rows = "SELECT array_agg(l ORDER BY id) FROM (SELECT id, region, ref, amount FROM ledger) AS l"
    step = 0
    while True:
        url = make_database()
        make_ledger(url)
        before, held = catalogs(url), scalar(url, rows)
        if not killed(url, recipe, method, options, step=step, moment=moment):
            break
        record = acted(url, then)
        after = {name: fact for name, fact in catalogs(url).items() if not name.startswith("trigger !evolve")}
        assert after == (before if then == "roll_back" else changed(before, method)), f"after step {step}"
        assert record.state == ("abandoned" if then == "roll_back" else "swapped"), f"after step {step}"
        assert scalar(url, rows) == held, f"after step {step}"
        step += 1
    assert step == len(record.conversion.forward)
