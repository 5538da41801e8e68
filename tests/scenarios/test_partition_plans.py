"""`evolve partition plan`, `undo` and `adopt` as programs read them: JSON, exit statuses, and what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.command_line import evolve
from support.orders import execute, make_orders, relations
from support.servers import MakeDatabase, MakeTemplate

pytestmark = pytest.mark.server

MONTHLY = (
    *("--method", "range", "--key", "created_at", "--interval", "1 month"),
    *("--unique", "orders_ext_ref=per-partition"),
)

Ask = Callable[..., Any]


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    return make_database(make_template("300 orders", lambda url: make_orders(url, 300)))


@pytest.fixture
def ask(url: str, tmp_path: Path) -> Ask:
    """`evolve partition … --format json` in an empty folder, and its last answer."""

    def partition(*arguments: str, expect: int = 0) -> Any:
        done = evolve(
            "partition", *arguments, "--format", "json", cwd=tmp_path, env={"EVOLVE_DATABASE_URL": url}
        )
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        try:
            return json.loads(done.stdout)
        except ValueError:
            return json.loads(done.stdout.strip().splitlines()[-1])

    return partition


def test_a_table_is_planned_converted_politely_and_undone(ask: Ask, url: str, tmp_path: Path) -> None:
    before = relations(url)
    planned = ask("plan", "orders", *MONTHLY)
    assert (planned["schema"], planned["recipe"]) == (1, "attach")

    (tmp_path / "evolve.toml").write_text('[backfill]\nmode = "fast"\nwindows = ["00:00-24:00 UTC"]\n')
    done = ask("convert", "orders", *MONTHLY, "--recipe", "copy", "--mode", "polite", "--run")
    assert done["state"] == "swapped"
    assert ask("status", "orders")["at_work"] is None

    execute(url, "CREATE INDEX orders_amount ON orders (amount)")
    undone = ask("undo", "orders")
    assert (undone["schema"], undone["undoes"]) == (1, "convert")
    assert undone["lost"] == ["the index orders_amount, which came since"]
    assert undone["comes_back"] == []
    assert {step["track"] for step in undone["steps"]} == {"back", "abandon"}
    assert ask("undo", "orders", "--run")["state"] == "abandoned"
    assert relations(url) == before


def test_what_others_partitioned_is_adopted_and_then_planned(ask: Ask, url: str, tmp_path: Path) -> None:
    execute(
        url,
        """
        CREATE TABLE hits (id bigint, day date NOT NULL) PARTITION BY RANGE (day);
        CREATE TABLE hits_1 PARTITION OF hits FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE hits_2 PARTITION OF hits FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
        CREATE TABLE hits_rest PARTITION OF hits DEFAULT;
        INSERT INTO hits VALUES (1, '2025-05-05');
        """,
    )
    found = ask("adopt", "hits")
    assert (found["options"], found["fitting"], found["written"]) == (
        {"key": "day", "interval": "month"},
        2,
        False,
    )
    assert not (tmp_path / "evolve.toml").exists()
    assert ask("adopt", "hits", "--run")["written"] is True
    assert '[partition.hits]\nmethod = "range"' in (tmp_path / "evolve.toml").read_text()

    planned = ask("plan", "hits", expect=1)
    assert planned["proposed"][0]["command"] == "evolve partition drain hits"
    assert "no primary key" in planned["obstacles"][0]["what"]
    execute(url, "ALTER TABLE hits ADD PRIMARY KEY (id, day)")
    assert ask("plan", "hits")["plan"]["recipe"] == "drain"
