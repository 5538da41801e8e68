"""Gates, in words: for reports, manifests and the conditions of a revision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from evolve.plan.change import Place
from evolve.plan.gate_sql import (
    BROWN_OUT,
    MAPPED,
    STATEMENTS,
    TRIPWIRE,
    Conditions,
    Fill,
    Lost,
    place_text,
)
from evolve.plan.model import (
    BackfillDone,
    ColumnNotNull,
    Gate,
    Holds,
    LostRows,
    NoOlderTransaction,
    NoRows,
    NotMapped,
    NotMissed,
    NotTripped,
    NotUsed,
    Part,
    RegretOver,
    TriggerArmed,
    Validated,
    ValidIndex,
    Word,
)
from evolve.sql.names import QualifiedName, literal, quote


def describe_gate(gate: Gate) -> str:
    """What must be true, in one line."""
    match gate:
        case TriggerArmed(table, trigger):
            return f'trigger "{trigger}" on "{table.plain}" is there and enabled'
        case NoOlderTransaction(_, trigger):
            return f'no transaction older than trigger "{trigger}" is open'
        case BackfillDone(name):
            return f'backfill "{name}" has ended well'
        case NoRows(table, _, meaning):
            return f'no row of "{table.plain}" where {meaning}'
        case LostRows(table, _, meaning):
            return f'no row of "{table.plain}" holds {meaning}, but for those that were accepted'
        case Validated(table, constraint):
            return f'constraint "{constraint}" on "{table.plain}" is validated'
        case ColumnNotNull(table, column):
            return f'"{table.plain}.{column}" is NOT NULL'
        case ValidIndex(index):
            return f'index "{index.plain}" is valid'
        case Holds(_, meaning):
            return meaning
        case NotMapped(_, places):
            return f"no deployed version maps {places_text(places)}"
        case NotUsed(places):
            return f"no statement has used {places_text(places)} for a while"
        case NotMissed(places):
            return f"nobody has missed {places_text(places)} in a brown-out"
        case NotTripped(places):
            return f"nobody has written {places_text(places)} since a tripwire was armed"
        case RegretOver(phase, seconds):
            return f"{phase} began at least {duration(seconds)} ago"
        case Word(_, question):
            return f"somebody has confirmed: {question}"
        case _:
            assert_never(gate)


def exact_gate(gate: Gate) -> str:
    """As `describe_gate`, with the predicate of the rows it counts."""
    match gate:
        case NoRows(_, predicate) | LostRows(_, predicate):
            return f"{describe_gate(gate)}: {predicate}"
        case _:
            return describe_gate(gate)


def look_query(gate: Gate) -> str | None:
    """A query that shows some of the rows that a gate counts."""
    match gate:
        case NoRows(table, predicate) | LostRows(table, predicate):
            return f"SELECT * FROM {table} WHERE {predicate} LIMIT 10"  # noqa: S608 - it is shown
        case _:
            return None


def gate_name(gate: Gate) -> str:
    """One word, by which an operator names a gate of a phase; for a `Word` its own."""
    match gate:
        case TriggerArmed():
            return "trigger"
        case NoOlderTransaction():
            return "sessions"
        case BackfillDone():
            return "backfill"
        case NoRows():
            return "rows"
        case LostRows():
            return "lost-rows"
        case Validated():
            return "validated"
        case ColumnNotNull():
            return "not-null"
        case ValidIndex():
            return "index"
        case Holds():
            return "condition"
        case NotMapped():
            return MAPPED
        case NotUsed():
            return STATEMENTS
        case NotMissed():
            return BROWN_OUT
        case NotTripped():
            return TRIPWIRE
        case RegretOver():
            return "regret-window"
        case Word(name):
            return name
        case _:
            assert_never(gate)


def places_text(places: Iterable[Place]) -> str:
    """For messages: "users.name, accounts"."""
    return ", ".join(table.plain if column is None else f"{table.plain}.{column}" for table, column in places)


def duration(seconds: float) -> str:
    """In the largest unit that leaves no less than two of them: "36 h", "7 d"."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _is_not_null(table: QualifiedName, column: str) -> str:
    relation, name = literal(table.full).strip(), literal(column).strip()
    place = f"attrelid = pg_catalog.to_regclass({relation}) AND attname = {name}"
    return f"SELECT attnotnull FROM pg_catalog.pg_attribute WHERE {place}"  # noqa: S608 - of the revision


def conditions(part: Part) -> Conditions:
    """What the revision of `part` checks by itself: what one look at tables and catalog can decide."""
    fill = tuple(
        Fill(
            str(spec.table),
            ", ".join(f"{quote(column)} = {value}" for column, value in spec.assignments),
            spec.where,
            spec.name,
        )
        for spec in part.fills
        if spec.where is not None
    )
    no_rows, validated, indexes, triggers, holds, lost = [], [], [], [], [], []
    phase, unmapped, unused = "", tuple[str, ...](), tuple[str, ...]()
    for gate in part.conditions:
        match gate:
            case NoRows(table, predicate, meaning, fix=str(fix)):
                none = f"NOT EXISTS (SELECT FROM {table} WHERE {predicate})"
                holds.append((none, f"no row of {table} where {meaning} (look: {look_query(gate)}); {fix}"))
            case NoRows(table, predicate):
                no_rows.append(f"{table} WHERE {predicate}")
            case LostRows(table, predicate, meaning, accepted, fix):
                lost.append(Lost(str(table), predicate, meaning, accepted, fix))
            case Validated(table, constraint):
                validated.append(f"{table}.{quote(constraint)}")
            case ValidIndex(index):
                indexes.append(str(index))
            case TriggerArmed(table, trigger):
                triggers.append(f"{table}.{quote(trigger)}")
            case Holds(condition, meaning):
                holds.append((condition, meaning))
            case ColumnNotNull(table, column):
                holds.append((_is_not_null(table, column), f"{table.plain}.{column} is NOT NULL"))
            case NotMapped(phase, places):
                unmapped = tuple(place_text(place) for place in places)
            case NotUsed(places):
                unused = tuple(place_text(place) for place in places)
            case NoOlderTransaction() | BackfillDone() | NotMissed() | NotTripped() | RegretOver() | Word():
                pass  # the journal, the session list and people are asked by `evolve advance` alone
            case _:
                assert_never(gate)
    return Conditions(
        fill,
        tuple(no_rows),
        tuple(validated),
        tuple(indexes),
        tuple(triggers),
        tuple(holds),
        tuple(lost),
        phase,
        unmapped,
        unused,
    )
