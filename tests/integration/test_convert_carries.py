"""Everything a table carries is there again once it is partitioned, and once more when it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
from support.carried import Facts, catalogs, leaves, make_ledger
from support.conversion import Watcher, converted
from support.orders import NOW

from evolve.app import convert_table
from evolve.app.convert_table import Environment, Patience
from evolve.partition.plan import Wish
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

LEDGER = QualifiedName("ledger")
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
    wish = Wish(LEDGER, method, options, recipe, {"ledger_ref": "per-partition"})
    converted(database_url, convert_table.plan_conversion(database_url, wish, NOW))

    after = catalogs(database_url)
    assert {name: fact for name, fact in after.items() if not name.startswith("trigger !evolve")} == changed(
        before, method
    )
    for leaf in leaves(database_url).values():
        assert leaf == wider(alone, method)

    convert_table.roll_back(
        database_url,
        LEDGER,
        observer=Watcher(),
        patience=Patience(budget=20.0),
        environment=Environment(now=lambda: NOW),
    )
    assert catalogs(database_url) == before
