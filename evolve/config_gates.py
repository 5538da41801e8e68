"""`[tool.evolve.gates]`: what must be seen before a change takes something away."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Literal, get_args

from evolve.config_table import Table
from evolve.values import dataclass

Statements = Literal["where-there", "required", "off"]


@dataclass(frozen=True, slots=True)
class Gates:
    """
    Args:
        regret_window: seconds that must pass between contract and purge.
        statements: whether pg_stat_statements is asked before something is taken away; "required" shuts the gate where
            the extension is missing.
        statement_window: seconds without a call before nobody counts as using it.
        replicas: URLs, or "env:NAME", of the standbys that take reads.
        standbys_without_reads: names (application_name) of those that take none.
    """

    regret_window: float = 0.0
    statements: Statements = "where-there"
    statement_window: float = 900.0
    replicas: tuple[str, ...] = field(default=(), repr=False)
    standbys_without_reads: tuple[str, ...] = ()


def read_gates(table: Table) -> Gates:
    table.allow(named.name for named in fields(Gates))
    default = Gates()
    return Gates(
        regret_window=table.duration("regret_window", default.regret_window),
        statements=_statements(table, default.statements),
        statement_window=table.duration("statement_window", default.statement_window),
        replicas=table.texts("replicas"),
        standbys_without_reads=table.texts("standbys_without_reads"),
    )


def _statements(table: Table, default: Statements) -> Statements:
    value = table.text("statements", default)
    for choice in get_args(Statements):
        if value == choice:
            found: Statements = choice
            return found
    raise table.bad("statements", f"one of {', '.join(get_args(Statements))}", value)
