"""Plans carried out on a live database without Alembic: for tests of the SQL itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import groupby

import psycopg

from evolve.plan.change import Change
from evolve.plan.effects import costs
from evolve.plan.gate_sql import gate_block
from evolve.plan.kept_facts import KeptFacts, Remembering
from evolve.plan.model import Part, PhaseName
from evolve.plan.recipes import make_plan
from evolve.plan.target import Target
from evolve.plan.wording import conditions
from evolve.postgres.plan_facts import LiveFacts
from evolve.postgres.plan_target import read_target
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.statements import Statement

Connection = psycopg.Connection[tuple[object, ...]]


class Carried:
    """A change on one database, phase by phase."""

    def __init__(self, connection: Connection, change: Change) -> None:
        self.connection = connection
        self.change = change
        facts = Remembering(LiveFacts(connection))
        self.plan = make_plan(change, facts)
        self.facts = facts.kept
        for statement, cost in costs(self.plan, self.facts).items():
            # What it says above the statement is what the linter would say of it; of views and of what an earlier
            # attempt may have left the facts say nothing.
            assert cost.lock in (None, statement.lock), (
                f"{statement.lock} is claimed, {cost.lock} predicted: {statement.sql}"
            )

        for phase in self.plan.phases:
            for part in phase.parts:
                for statements in (part.statements, part.undo):
                    refuse_rising_locks(statements)

    def up(self, *names: PhaseName) -> None:
        """Run the revisions of each phase, and its backfill as one statement."""
        for name in names:
            phase = self.plan.phase(name)
            assert phase is not None
            for part in phase.parts:
                self.again(part)
            for spec in phase.backfills:
                assignments = ", ".join(f"{quote(column)} = {value}" for column, value in spec.assignments)
                self.connection.execute(f"UPDATE {spec.table} SET {assignments} WHERE {spec.where}".encode())

    def again(self, part: Part) -> None:
        """Run one revision."""
        gate = conditions(part)
        opening = [Statement(gate_block("x", gate), None, "")] if gate else []
        self._run((*opening, *part.statements))

    def parts(self, name: PhaseName) -> tuple[Part, ...]:
        phase = self.plan.phase(name)
        assert phase is not None
        return phase.parts

    def down(self, parts: tuple[Part, ...]) -> None:
        for part in reversed(parts):
            self._run(part.undo)

    def _run(self, statements: tuple[Statement, ...]) -> None:
        for transactional, group in groupby(statements, key=lambda statement: statement.transactional):
            with self.connection.transaction() if transactional else nullcontext():
                for statement in group:
                    self.connection.execute(statement.sql.encode())


def refuse_rising_locks(statements: Iterable[Statement]) -> None:
    """A transaction that keeps writers out and then wants readers out as well can meet one that reads and then writes:
    both wait for the other.
    """
    held: dict[str, LockMode] = {}
    for statement in statements:
        named = re.search(r'(?:ALTER TABLE(?: ONLY)?| ON)\s+((?:"(?:[^"]|"")+"|[^\s"(])+)', statement.sql)
        if statement.transactional and statement.lock is not None and named is not None:
            before = held.get(named[1])
            rises = before is not None and LockMode.SHARE <= before < statement.lock
            assert not rises, f"{before} is held when {statement.lock} is wanted: {statement.sql}"
            held[named[1]] = max(before or statement.lock, statement.lock)


def facts_of(*targets: Target) -> KeptFacts:
    """What recipes get to know of tables that no database has."""
    return KeptFacts("database", 150018, {("table", target.table): target for target in targets})


def table(connection: Connection, name: str, schema: str = "public") -> Target:
    return read_target(connection, QualifiedName(name, schema))
