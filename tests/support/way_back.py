"""A recipe on a live database: its phases, what its trials say, and the way back from every phase."""

from __future__ import annotations

from dataclasses import replace

from evolve.plan.change import Change
from evolve.plan.model import PhaseName
from evolve.plan.recipes import find_recipe
from evolve.plan.target import Target
from evolve.postgres.catalog import read_schema
from evolve.postgres.plan_facts import LiveFacts
from evolve.postgres.trials import attempt
from evolve.sql.schema import Schema
from support.changes import Carried, Connection, table


def phases(connection: Connection, change: Change) -> tuple[PhaseName, ...]:
    return tuple(phase.name for phase in Carried(connection, change).plan.phases)


def tried(connection: Connection, change: Change) -> list[str]:
    """The notes of its trials, as `evolve plan` makes them; raises what one of them refuses."""
    recipe = find_recipe(change.kind)
    assert recipe is not None
    facts = LiveFacts(connection)
    recipe.plan(change, facts)
    notes = [attempt(connection, trial) for trial in recipe.trials(change, facts)]
    return [note for note in notes if note is not None]


def catalog(connection: Connection) -> Schema:
    """What is there, in an order that does not tell which constraint was made last."""
    schema = read_schema(connection)
    for name, made in schema.tables.items():
        schema.tables[name] = replace(made, constraints=tuple(sorted(made.constraints, key=repr)))
    return schema


def restores(connection: Connection, change: Change) -> bool:
    """From every phase forward, backward, and forward once more: the schema is what it was at each point."""
    carried = Carried(connection, change)
    names: list[PhaseName] = [phase.name for phase in carried.plan.phases]
    for end in range(len(names)):
        seen = [catalog(connection)]
        for name in names[: end + 1]:
            carried.up(name)
            seen.append(catalog(connection))
        # One part back and forth again, as `downgrade -1; upgrade` would.
        for part in carried.parts(names[end])[-1:]:
            carried.down((part,))
            carried.again(part)
        if catalog(connection) != seen[-1]:
            return False
        for name in reversed(names[: end + 1]):
            seen.pop()
            carried.down(carried.parts(name))
        if catalog(connection) != seen[-1]:
            return False
    return True


def restores_the_table(connection: Connection, change: Change) -> bool:
    """From every phase back to the start: table and functions are what they were, whatever order its parts are in."""
    carried = Carried(connection, change)
    names: list[PhaseName] = [phase.name for phase in carried.plan.phases]
    before = _comparable(connection, change)
    for end in range(len(names)):
        for name in names[: end + 1]:
            carried.up(name)
        for name in reversed(names[: end + 1]):
            carried.down(carried.parts(name))
        if _comparable(connection, change) != before:
            return False
    return True


def _comparable(connection: Connection, change: Change) -> tuple[Target, object]:
    target = table(connection, change.table.name, change.table.schema)
    functions = connection.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace::regnamespace::text "
        "NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    ).fetchall()
    same = replace(
        target,
        columns=tuple(sorted(target.columns, key=lambda column: column.name)),
        indexes=tuple(
            # The order of columns follows that of the table.
            replace(index, columns=tuple(sorted(index.columns)), definition="".join(sorted(index.definition)))
            for index in sorted(target.indexes, key=lambda index: index.name)
        ),
        constraints=tuple(
            replace(c, columns=tuple(sorted(c.columns)))
            for c in sorted(target.constraints, key=lambda constraint: constraint.name)
        ),
        rows=None,
        bytes=None,
    )
    return same, functions
