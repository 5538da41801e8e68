"""`[tool.evolve.gates]`: what must be seen before a change takes something away."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Literal, get_args

from evolve.config_table import Table
from evolve.values import dataclass

Registry = Literal["where-there", "required"]
Statements = Literal["where-there", "required", "off"]


@dataclass(frozen=True, slots=True)
class Gates:
    """
    Args:
        regret_window: seconds that must pass between contract and purge.
        registry: whether deployed versions are asked what they map; "required" shuts the gate where none reports.
        statements: whether pg_stat_statements is asked before something is taken away; "required" shuts the gate where
            the extension is missing.
        statement_window: seconds without a call before nobody counts as using it.
        replicas: URLs, or "env:NAME", of the standbys that take reads.
        standbys_without_reads: names (application_name) of those that take none.
        verdict_age: seconds for which a revision that Alembic or psql runs believes what evolve saw of statements.
    """

    regret_window: float = 0.0
    registry: Registry = "where-there"
    statements: Statements = "where-there"
    statement_window: float = 900.0
    replicas: tuple[str, ...] = field(default=(), repr=False)
    standbys_without_reads: tuple[str, ...] = ()
    verdict_age: float = 86400.0


def read_gates(table: Table) -> Gates:
    table.allow(named.name for named in fields(Gates))
    default = Gates()
    return Gates(
        regret_window=table.duration("regret_window", default.regret_window),
        registry=_registry(table, default.registry),
        statements=_statements(table, default.statements),
        statement_window=table.duration("statement_window", default.statement_window),
        replicas=table.texts("replicas"),
        standbys_without_reads=table.texts("standbys_without_reads"),
        verdict_age=table.duration("verdict_age", default.verdict_age),
    )


def _registry(table: Table, default: Registry) -> Registry:
    value = table.text("registry", default)
    for choice in get_args(Registry):
        if value == choice:
            found: Registry = choice
            return found
    raise table.bad("registry", f"one of {', '.join(get_args(Registry))}", value)


def _statements(table: Table, default: Statements) -> Statements:
    value = table.text("statements", default)
    for choice in get_args(Statements):
        if value == choice:
            found: Statements = choice
            return found
    raise table.bad("statements", f"one of {', '.join(get_args(Statements))}", value)
