"""Predicted locks, rewrites and scans against what servers really do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evolve.postgres.connect import Connection, connect
from evolve.postgres.measure import Measured, measure
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema

DATA = Path(__file__).parent / "data"
SUPPORTED = (14, 15, 16, 17, 18)


@cache
def catalogue() -> dict[str, Any]:
    return json.loads((DATA / "lock_catalogue.json").read_text())


@cache
def more() -> dict[str, Any]:
    return json.loads((DATA / "more_statements.json").read_text())


@cache
def replayed(*setups: str) -> Schema:
    schema = Schema()
    for setup in setups:
        for operation in parse(setup):
            apply(schema, operation)
    return schema


def setup_of(data: dict[str, Any]) -> str:
    return "\n".join(data["setup"])


@dataclass
class Prediction:
    locks: dict[QualifiedName, LockMode] = field(default_factory=dict)
    rewrites: set[QualifiedName] = field(default_factory=set)
    scans: set[QualifiedName] = field(default_factory=set)
    rebuilds: set[QualifiedName] = field(default_factory=set)
    refused: str | None = None


def predict(before: Schema, sql: str, version: int) -> Prediction:
    """The effects of all operations of `sql` together, in a session whose TimeZone is UTC until it says otherwise."""
    schema, timezone, total = before.copy(), "UTC", Prediction()
    for operation in parse(sql):
        if isinstance(operation, op.SetParameter) and operation.name == "timezone":
            timezone = operation.value or "UTC"
        found = effect(operation, schema, version, timezone=timezone)
        for name, mode in found.locks.items():
            total.locks[name] = max(mode, total.locks.get(name, mode))
        total.rewrites |= found.rewrites
        total.scans |= found.scans
        total.rebuilds |= found.rebuilds
        total.refused = total.refused or found.refused
        apply(schema, operation)
    return total


def plan_decides(sql: str) -> bool:
    """What these read hangs on the server's plan, and an emptied table has nothing left to read."""
    return sql.startswith(("insert", "merge", "select", "truncate")) or " where " in sql


def key_targets(schema: Schema, sql: str) -> set[QualifiedName]:
    """Tables at the far end of a foreign key: the planner reads them through their key or as a whole."""
    added = (operation for operation in parse(sql))
    keys = [
        constraint
        for operation in added
        if isinstance(operation, op.AddColumn)
        for constraint in operation.column.constraints
        if isinstance(constraint, op.ForeignKey)
    ]
    return {key.target for key in keys}


# -- against the recorded results of six versions -----------------------------------------------------------
def recorded(version: int, sql: str) -> dict[str, Any] | None:
    return next(
        (entry["result"] for entry in catalogue()["statements"][sql] if version in entry["versions"]), None
    )


@pytest.mark.parametrize("version", SUPPORTED)
def test_predictions_equal_the_recorded_measurements(version: int) -> None:
    schema = replayed(setup_of(catalogue()))
    differing = []
    for sql in catalogue()["statements"]:
        result = recorded(version, sql)
        if result is None or "error" in result:
            continue
        found = predict(schema, sql, version)
        indexes = {name.name for name in schema.indexes}
        tables = {name.name for name in (*schema.tables, *schema.views, *schema.sequences)}
        locks = {n.name: str(mode) for n, mode in found.locks.items() if n.name not in indexes}
        expected = {name: mode for name, mode in result["locks"].items() if name not in indexes}
        scanned = set(result["scanned"]) & tables
        far = {name.name for name in key_targets(schema, sql)}
        if (
            locks != expected
            or {name.name for name in found.rewrites} != set(result["rewritten"])
            or (not plan_decides(sql) and {name.name for name in found.scans} != scanned - far)
            or bool(found.rebuilds) > bool(result["index_files_changed"])
        ):
            differing.append((sql, found, result))
    assert differing == []


@pytest.mark.parametrize("version", SUPPORTED)
def test_refusals_that_can_be_foreseen_are(version: int) -> None:
    schema = replayed(setup_of(catalogue()))
    by_view = [
        sql
        for sql in catalogue()["statements"]
        if "view or rule" in (recorded(version, sql) or {}).get("error", "")
    ]
    assert by_view
    assert [sql for sql in by_view if predict(schema, sql, version).refused is None] == []


def test_without_a_time_zone_the_worst_is_told() -> None:
    (operation,) = parse("alter table t alter ts type timestamptz")
    found = effect(operation, replayed(setup_of(catalogue())))
    assert found.rewrite
    assert found.only_if_not_utc


# -- against the server at hand -----------------------------------------------------------------------------
@pytest.fixture
def connection(database_url: str):
    with connect(database_url, autocommit=True) as opened:
        opened.execute("SET timezone = 'UTC'")
        yield opened


def prepare(connection: Connection) -> tuple[Schema, list[str]]:
    """The tables of both collections, on the server and in the model, and all statements."""
    setups = [setup_of(catalogue()), setup_of(more())]
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'r1'").fetchone()
    for setup in setups:
        connection.execute((setup.replace("create role r1", "select 1") if exists else setup).encode())
    return replayed(*setups), [*catalogue()["statements"], *more()["statements"]]


def disagreements(schema: Schema, sql: str, found: Prediction, seen: Measured) -> list[str]:
    indexes = schema.indexes
    problems = []
    locks = {name: mode for name, mode in found.locks.items() if name not in indexes}
    held = {name: mode for name, mode in seen.locks.items() if name not in indexes}
    if sql.startswith("insert"):
        held = {name: mode for name, mode in held.items() if name in locks}
    if locks != held:
        problems.append(f"locks {_words(locks)}, measured {_words(held)}")
    for name, mode in seen.locks.items():
        stronger = name in indexes and mode > seen.locks.get(indexes[name].definition.table, 0)
        if stronger and found.locks.get(name) != mode:
            problems.append(f"lock on index {name}: {found.locks.get(name)}, measured {mode}")
    for name, mode in found.locks.items():
        if name in indexes and seen.locks.get(name) != mode:
            problems.append(f"lock on index {name}: {mode}, measured {seen.locks.get(name)}")
    if found.rewrites != seen.rewritten:
        problems.append(f"rewrites {found.rewrites}, measured {seen.rewritten}")
    if not plan_decides(sql) and found.scans != seen.scanned - key_targets(schema, sql):
        problems.append(f"scans {found.scans}, measured {seen.scanned}")
    rebuilt = {name for name in seen.rebuilt if indexes[name].definition.table not in seen.rewritten}
    if found.rebuilds != rebuilt:
        problems.append(f"rebuilds {found.rebuilds}, measured {rebuilt}")
    return problems


def _words(locks: Mapping[QualifiedName, LockMode]) -> dict[str, str]:
    return {name.plain: str(mode) for name, mode in sorted(locks.items())}


def test_predictions_equal_what_this_server_does(connection: Connection) -> None:
    schema, statements = prepare(connection)
    version = connection.info.server_version // 10000
    measured = 0
    differing = []
    for sql in statements:
        seen = measure(connection, sql)
        if seen.error is not None:
            continue
        measured += 1
        problems = disagreements(schema, sql, predict(schema, sql, version), seen)
        if problems:
            differing.append((sql, problems))
    assert differing == []
    assert measured > 240


def test_this_server_does_what_was_recorded(connection: Connection) -> None:
    """The catalogue itself is checked: its locks on tables, rewrites and scans come out again."""
    prepare(connection)
    version = connection.info.server_version // 10000
    differing = []
    for sql in catalogue()["statements"]:
        result = recorded(version, sql)
        seen = measure(connection, sql)
        if result is None or "error" in result or seen.error is not None:
            if result is not None and (seen.error is None) != ("error" not in result):
                differing.append((sql, seen, result))
            continue
        locks = {name.name: str(mode) for name, mode in seen.locks.items()}
        rewritten = {name.name for name in seen.rewritten}
        if any(locks.get(name) != mode for name, mode in result["locks"].items()) or rewritten != set(
            result["rewritten"]
        ):
            differing.append((sql, seen, result))
    assert differing == []


def test_a_measured_statement_leaves_nothing_behind(connection: Connection) -> None:
    connection.execute("CREATE TABLE kept (id int)")
    measure(connection, "DROP TABLE kept")
    assert connection.execute("SELECT to_regclass('kept') IS NOT NULL").fetchone() == (True,)


def test_a_statement_that_cannot_be_measured_says_why(connection: Connection) -> None:
    connection.execute("CREATE TABLE kept (id int)")
    seen = measure(connection, "CREATE INDEX CONCURRENTLY ON kept (id)")
    assert seen.error == "CREATE INDEX CONCURRENTLY cannot run inside a transaction block"
    assert seen.locks == {}
