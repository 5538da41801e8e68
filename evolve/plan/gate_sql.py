"""The SQL of a gate: one DO block that raises unless its conditions hold in the database at that moment.

A revision carries it as `op.evolve_gate(…)`, so that plain `alembic upgrade head`, and a script made by
`alembic upgrade --sql`, stop where `evolve advance` would.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolve.sql.names import QualifiedName, literal, parse_column, parse_name, quote, shorten

if TYPE_CHECKING:  # it needs the parser, which those who only capture revisions do not wait for
    from evolve.plan.change import Place

SHUT = "EV001"  # SQLSTATE of a gate that is shut: what a runner may tell apart from a broken statement
MARKER = "-- evolve: gate"  # first line of the block: what a reader of SQL may tell apart from any other DO


LOST = "lost-"  # how a word begins that accepts rows which lose something; their number follows
MAPPED = "mapped"  # the gate that asks deployed versions what they map, as an operator names it
STATEMENTS = "statements"  # the gate that asks which statements were called
TRIPWIRE = "tripwire"  # the one that asks who has met a tripwire
BROWN_OUT = "brown-out"  # the one that asks who has missed it
_REGISTRY = "evolve_client"  # the schema in which they tell it

FEW = 1000  # rows that a revision may bring up to date by itself: no longer than one batch of a backfill


@dataclass(frozen=True, slots=True)
class Fill:
    """Rows that still need work, and the work: `UPDATE table SET assignments WHERE where`.

    Args:
        backfill: the one that does it; "": that of the change's own name.
    """

    table: str
    assignments: str
    where: str
    backfill: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows that lose something for good: `table WHERE where`.

    Args:
        meaning: what they hold, in a few words.
        accepted: as many may; in a database where somebody has accepted more, as many as that.
        fix: how they are mended.
    """

    table: str
    where: str
    meaning: str
    accepted: int
    fix: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold.

    Args:
        fill: no more than `FEW` such rows may be left, and those are brought up to date here. So a new database,
            whose seed rows no backfill has met, takes the whole history, and a full one does not.
        no_rows: `table WHERE predicate`: no such row may exist.
        validated: `table.constraint`: it exists and is validated.
        valid_indexes: `index` or `schema.index`: it exists and is valid.
        enabled_triggers: `table.trigger`: it exists and is not disabled.
        holds: (SQL condition, what it means): it is true.
        lost: there are no more such rows than were accepted.
        phase: the one that the revision belongs to; what was overridden before it counts.
        unmapped: `table.column`, or `table.*`: no deployed version that is alive maps it.
        unused: the same: whoever can parse statements has lately seen that none uses it; nobody has met a tripwire
            there, nor missed it in a brown-out.
    """

    fill: tuple[Fill, ...] = ()
    no_rows: tuple[str, ...] = ()
    validated: tuple[str, ...] = ()
    valid_indexes: tuple[str, ...] = ()
    enabled_triggers: tuple[str, ...] = ()
    holds: tuple[tuple[str, str], ...] = ()
    lost: tuple[Lost, ...] = ()
    phase: str = ""
    unmapped: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(
            self.fill
            or self.no_rows
            or self.validated
            or self.valid_indexes
            or self.enabled_triggers
            or self.holds
            or self.lost
            or self.unmapped
            or self.unused
        )


def gate_block(change: str, conditions: Conditions) -> str:
    """The DO block of `conditions`.

    It takes ACCESS SHARE on the tables it counts, and locks the rows it fills. Where row security hides rows of them
    from the role, it fails.

    Raises:
        BadName: a constraint, index or trigger is not written as a name.
    """
    lines = [*_checks(change, conditions), *(_update(fill) for fill in conditions.fill)]
    if conditions.fill:
        # Deferred constraints would keep events of these rows until COMMIT, and ALTER TABLE refuse to run meanwhile.
        lines.append("  SET CONSTRAINTS ALL IMMEDIATE;")
    body = "\n".join([MARKER, *_SEEING_ALL, *lines, *_SEEING_AS_BEFORE])
    tag = _tag(body)
    return f"DO {tag}{body}{tag}"


# Where row security would hide rows from who migrates, counting them is to fail: hidden ones are not in step.
_SEEING_ALL = (
    "DECLARE",
    "  evolve_row_security text := pg_catalog.current_setting('row_security');",
    "BEGIN",
    "  PERFORM pg_catalog.set_config('row_security', 'off', true);",
)
_SEEING_AS_BEFORE = ("  PERFORM pg_catalog.set_config('row_security', evolve_row_security, true);", "END")


def _tables(conditions: Conditions) -> tuple[QualifiedName, ...]:
    """Those that `conditions` names without a schema."""
    named = [
        *(parse_name(fill.table) for fill in conditions.fill),
        *(parse_name(lost.table) for lost in conditions.lost),
        *(parse_column(text)[0] for text in (*conditions.validated, *conditions.enabled_triggers)),
        *(parse_place(text)[0] for text in (*conditions.unmapped, *conditions.unused)),
    ]
    return tuple(table for table in dict.fromkeys(named) if table.schema == "public")


def _update(fill: Fill) -> str:
    return f"  UPDATE {fill.table} SET {fill.assignments} WHERE {fill.where}\n  ;"  # noqa: S608 - of the revision


def _checks(change: str, conditions: Conditions) -> Iterator[str]:
    for table in _tables(conditions):
        # What is asked, here and of evolve's journals, is asked of schema public; the statements find it by its name.
        yield _refuse(
            f"pg_catalog.to_regclass({_text(str(table))}) IS DISTINCT FROM pg_catalog.to_regclass({_text(table.full)})",
            change,
            f"the search_path finds another relation than {table.full} under the name {table}, or none",
            "let the role that migrates find schema public first, and reset what an earlier revision has set",
        )
    for fill in conditions.fill:
        found = f"SELECT FROM {fill.table} WHERE {fill.where}\n    LIMIT {FEW + 1}"
        yield _refuse(
            f"(SELECT count(*) FROM ({found}) AS found) > {FEW}",  # noqa: S608 - of the revision
            change,
            f"more than {FEW} rows still need work: {fill.table} WHERE {fill.where}",
            f"run: evolve backfill run {fill.backfill or change} (with --restart where it has ended before)",
        )
    for rows in conditions.no_rows:
        yield _refuse(
            # The line break keeps a comment in the predicate from swallowing the parenthesis.
            f"EXISTS (SELECT FROM {rows}\n  )",
            change,
            f"rows still need work: {rows}",
            f"run: evolve backfill run {change}",
        )
    for text in conditions.validated:
        table, name = parse_column(text)
        yield _refuse(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_constraint"
            f" WHERE conrelid = pg_catalog.to_regclass({_text(table.full)}) AND conname = {_text(name)}"
            " AND convalidated)",
            change,
            f"constraint {text} is not there or not validated",
            f"run: ALTER TABLE {table} VALIDATE CONSTRAINT {quote(name)}",
        )
    for text in conditions.valid_indexes:
        index = parse_name(text)
        yield _refuse(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_index"
            f" WHERE indexrelid = pg_catalog.to_regclass({_text(index.full)}) AND indisvalid)",
            change,
            f"index {text} is not there or not valid",
            f"if it is there, run: REINDEX INDEX CONCURRENTLY {index}",
        )
    for text in conditions.enabled_triggers:
        table, name = parse_column(text)
        yield _refuse(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_trigger"
            f" WHERE tgrelid = pg_catalog.to_regclass({_text(table.full)}) AND tgname = {_text(name)}"
            " AND tgenabled IN ('A', 'O'))",
            change,
            f"trigger {text} is not there or disabled",
        )
    for condition, meaning in conditions.holds:
        # The line break keeps a comment in the condition from swallowing the parenthesis.
        yield _refuse(f"({condition}\n  ) IS NOT TRUE", change, f"it waits until this is true: {meaning}")
    for lost in conditions.lost:
        yield _count(change, lost)
    if conditions.unmapped:
        yield _in_use(change, conditions.phase, [parse_place(text) for text in conditions.unmapped])
    if conditions.unused:
        yield _called(change, conditions.phase, [parse_place(text) for text in conditions.unused])
        yield _met(change, conditions.phase)
        yield _missed(change, conditions.phase)


def _count(change: str, lost: Lost) -> str:
    """A statement that raises where more rows lose something than were accepted, with the plan or in this database."""
    found = f"(SELECT count(*) FROM {lost.table} WHERE {lost.where}\n    )"  # noqa: S608 - of the revision
    look = f"SELECT * FROM {lost.table} WHERE {lost.where} LIMIT 10"  # noqa: S608 - it is shown
    what = f"the gate of change {change} is shut: rows of {lost.table} hold {lost.meaning}: "
    mend = (
        f"purge drops that; {lost.fix} (look: {look}), or accept it: evolve advance {change} --confirm {LOST}"
    )
    return f"""  DECLARE
    evolve_found bigint := {found};
    evolve_accepted bigint := {lost.accepted};
  BEGIN
    IF evolve_found > evolve_accepted AND {_EVENTS_READABLE} THEN
      evolve_accepted := greatest(evolve_accepted, (
        SELECT max(substr(w.name, {len(LOST) + 1})::bigint) FROM evolve.change_event AS w
        WHERE w.change = {_text(change)} AND w.kind = 'word' AND w.name ~ '^{LOST}[0-9]{{1,18}}$'
          AND NOT EXISTS (SELECT FROM evolve.change_event AS u WHERE u.change = w.change AND u.phase = w.phase
            AND u.kind = 'undone' AND u.event_id > w.event_id)));
    END IF;
    IF evolve_found > evolve_accepted THEN
      RAISE EXCEPTION USING ERRCODE = {_text(SHUT)},
        MESSAGE = {_text(what)} || evolve_found || ', accepted: ' || evolve_accepted,
        HINT = {_text(mend)} || evolve_found || {_text(f"; see: evolve status {change}")};
    END IF;
  END;"""  # noqa: S608 - of the revision


def _readable(table: str) -> str:
    """Whether that table of schema evolve is there, and may be read without a function of its owner being run."""
    return f"""EXISTS (
      SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = 'evolve' AND c.relname = '{table}' AND c.relkind = 'r' AND NOT c.relrowsecurity
        AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
    )"""


_EVENTS_READABLE = _readable("change_event")


def _kept_from(*tables: str) -> str:
    """Whether one of those tables is there, and this role may not read it: what it tells is not known to be nothing."""
    names = ", ".join(f"'{table}'" for table in tables)
    return f"""EXISTS (
      SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = 'evolve' AND c.relname IN ({names}) AND c.relkind = 'r' AND NOT (
        pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')))"""


def _passed(change: str, phase: str, gate: str) -> str:
    """Whether somebody has overridden that gate before that phase, since one last went back on it."""
    return f"""EXISTS (
        SELECT FROM evolve.change_event
        WHERE change = {_text(change)} AND phase = {_text(phase)} AND kind = 'override' AND name = {_text(gate)}
          AND event_id > coalesce((
            SELECT max(event_id) FROM evolve.change_event
            WHERE change = {_text(change)} AND phase = {_text(phase)} AND kind = 'undone'), 0))"""  # noqa: S608 - of the revision


def _called(change: str, phase: str, places: Sequence[Place]) -> str:
    """A statement that raises unless evolve has lately seen that no statement uses `places`.

    Where nobody has looked, it does nothing in a database that does not count statements, nor in a new one.
    """
    mend = (
        f"go on with evolve upgrade, which looks itself; or look: evolve advance {change}; "
        f'or: evolve advance {change} --override {STATEMENTS} --because "..."'
    )
    what = f"the gate of change {change} is shut: "
    full = " OR ".join(
        f"(SELECT pg_catalog.count(*) FROM (SELECT FROM {table} LIMIT {FEW + 1}) AS found) > {FEW}"  # noqa: S608
        for table in dict.fromkeys(table for table, _ in places)
    )
    return f"""  DECLARE
    evolve_passed boolean := false;
    evolve_open boolean;
    evolve_until timestamptz;
    evolve_counted boolean := EXISTS (
      SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_stat_statements');
    evolve_use text;
  BEGIN
    IF {_EVENTS_READABLE} THEN
      evolve_passed := {_passed(change, phase, STATEMENTS)};
    END IF;
    IF {_readable("verdict")} THEN
      SELECT open, holds_until, observed INTO evolve_open, evolve_until, evolve_use
        FROM evolve.verdict WHERE change = {_text(change)} AND phase = {_text(phase)};
    END IF;
    IF evolve_open AND evolve_counted AND evolve_until < pg_catalog.clock_timestamp() THEN
      evolve_use := 'what statements use was looked at too long ago; that held until ' || evolve_until;
    ELSIF evolve_open THEN
      evolve_use := NULL;
    ELSIF evolve_open IS NULL AND evolve_counted THEN
      -- A table of few rows may be one of a new database, where nobody has looked.
      IF {_kept_from("verdict")} OR {full} THEN
        evolve_use := 'nobody has looked which statements use what goes, or role ' || current_user
          || ' may not read evolve.verdict';
      END IF;
    END IF;
    IF evolve_use IS NOT NULL AND NOT evolve_passed THEN
      RAISE EXCEPTION USING ERRCODE = {_text(SHUT)},
        MESSAGE = {_text(what)} || evolve_use,
        HINT = {_text(mend)};
    END IF;
  END;"""  # noqa: S608 - of the revision


def tripwire_trigger(change: str) -> str:
    return shorten("zz_evolve_trip", change)


def _met(change: str, phase: str) -> str:
    """A statement that raises where somebody has met a tripwire, or one is there and cannot be believed."""
    mend = (
        f"let it do without, then arm it anew: evolve tripwire {change}; "
        f'or: evolve advance {change} --override {TRIPWIRE} --because "..."'
    )
    what = f"the gate of change {change} is shut: a tripwire was met: "
    trigger = _text(tripwire_trigger(change))
    return f"""  DECLARE
    evolve_passed boolean := false;
    evolve_use text;
  BEGIN
    IF {_EVENTS_READABLE} THEN
      evolve_passed := {_passed(change, phase, TRIPWIRE)};
    END IF;
    IF {_readable("tripwire")} AND {_readable("tripwire_hit")} THEN
      evolve_use := (
        SELECT h.role || ' (' || h.application || ') at ' || h.at || ': ' || h.statement FROM evolve.tripwire_hit AS h
        WHERE h.change = {_text(change)} AND EXISTS (SELECT FROM evolve.tripwire AS t WHERE t.change = h.change)
        ORDER BY h.hit_id DESC LIMIT 1);
      IF evolve_use IS NULL AND EXISTS (
        SELECT FROM evolve.tripwire AS t WHERE t.change = {_text(change)} AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = pg_catalog.to_regclass(t.relation)
            AND tgname = t.trigger AND tgenabled IN ('A', 'O'))
      ) THEN
        evolve_use := 'nobody knows by whom, since its trigger is gone or disabled';
      END IF;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgname = {trigger}) THEN
      evolve_use := 'role ' || current_user || ' may not read by whom, in evolve.tripwire and evolve.tripwire_hit';
    END IF;
    IF evolve_use IS NOT NULL AND NOT evolve_passed THEN
      RAISE EXCEPTION USING ERRCODE = {_text(SHUT)},
        MESSAGE = {_text(what)} || evolve_use,
        HINT = {_text(mend)};
    END IF;
  END;"""  # noqa: S608 - of the revision


def _missed(change: str, phase: str) -> str:
    """A statement that raises where a brown-out is under way, or the last one was missed by somebody."""
    mend = (
        f"see: evolve status {change}; then once more: evolve brown-out {change}; "
        f'or: evolve advance {change} --override {BROWN_OUT} --because "..."'
    )
    what = f"the gate of change {change} is shut: "
    return f"""  DECLARE
    evolve_use text;
  BEGIN
    IF {_EVENTS_READABLE} THEN
      evolve_use := (
        SELECT 'the last brown-out did not end well: ' || e.note FROM evolve.change_event AS e
        WHERE e.change = {_text(change)} AND e.kind = 'brown-out' AND e.name <> 'clean'
          AND NOT {_passed(change, phase, BROWN_OUT)}
          AND NOT EXISTS (SELECT FROM evolve.change_event AS l WHERE l.change = e.change AND l.event_id > e.event_id
            AND l.kind IN ('brown-out', 'undone'))
        LIMIT 1);
    END IF;
    IF {_readable("brown_out")} THEN
      evolve_use := coalesce((
        SELECT 'a brown-out is under way, until ' || ends FROM evolve.brown_out
        WHERE change = {_text(change)}), evolve_use);
    END IF;
    IF {_kept_from("change_event", "brown_out")} THEN
      evolve_use := 'role ' || current_user || ' may not read evolve.change_event and evolve.brown_out, which tell'
        || ' whether anybody has missed it';
    END IF;
    IF evolve_use IS NOT NULL THEN
      RAISE EXCEPTION USING ERRCODE = {_text(SHUT)},
        MESSAGE = {_text(what)} || evolve_use,
        HINT = {_text(mend)};
    END IF;
  END;"""  # noqa: S608 - of the revision


def _in_use(change: str, phase: str, places: Sequence[Place]) -> str:
    """A statement that raises where a deployed version maps one of `places`, unless somebody has overridden that.

    A database without a registry, as a new one, knows of no version: there it does nothing.
    """
    what = f"the gate of change {change} is shut: "
    mend = (
        "deploy what maps none of it everywhere (see: evolve registry list), "
        f'or: evolve advance {change} --override {MAPPED} --because "..."'
    )
    return f"""  DECLARE
    evolve_passed boolean := false;
    evolve_may_ask boolean;
    evolve_use text;
  BEGIN
    IF {_EVENTS_READABLE} THEN
      evolve_passed := {_passed(change, phase, MAPPED)};
    END IF;
    -- Null where there is no registry.
    evolve_may_ask := (
      SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
        -- No stranger's function is run with the rights of who migrates.
        AND (r.rolsuper OR r.rolname IN (current_user, session_user) OR r.oid = (
          SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
      FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
      WHERE n.nspname = '{_REGISTRY}' AND p.proname = 'in_use');
    IF evolve_may_ask AND NOT evolve_passed THEN
      evolve_use := {_REGISTRY}.in_use({_text(places_json(places))});
    ELSIF NOT evolve_may_ask AND NOT evolve_passed THEN
      evolve_use := 'role ' || current_user || ' may not ask which versions are deployed; it needs EXECUTE on'
        || ' function {_REGISTRY}.in_use and USAGE on its schema, which has to belong to it, to the owner of the'
        || ' database or to a superuser';
    END IF;
    IF evolve_use IS NOT NULL THEN
      RAISE EXCEPTION USING ERRCODE = {_text(SHUT)},
        MESSAGE = {_text(what)} || evolve_use,
        HINT = {_text(f"{mend}; then see: evolve status {change}")};
    END IF;
  END;"""  # noqa: S608 - of the revision


def places_json(places: Sequence[Place]) -> str:
    """As function `in_use` of the registry takes them."""
    return json.dumps([[table.schema, table.name, column] for table, column in places])


def place_text(place: Place) -> str:
    """`table.column`; `table.*` of a relation as a whole."""
    table, column = place
    return f"{table}.*" if column is None else f"{table}.{quote(column)}"


def parse_place(text: str) -> Place:
    """What `place_text` has written.

    Raises:
        BadName: it is no such text.
    """
    return (parse_name(text.removesuffix(".*")), None) if text.endswith(".*") else parse_column(text)


def _refuse(condition: str, change: str, what: str, fix: str | None = None) -> str:
    """A statement that raises where `condition` is so."""
    see = f"see: evolve status {change}"
    return (
        f"  IF {condition} THEN\n"
        f"    RAISE EXCEPTION USING ERRCODE = {_text(SHUT)},\n"
        f"      MESSAGE = {_text(f'the gate of change {change} is shut: {what}')},\n"
        f"      HINT = {_text(see if fix is None else f'{fix}; then {see}')};\n"
        "  END IF;"
    )


def _text(value: str) -> str:
    return literal(value).strip()


def _tag(body: str) -> str:
    """A dollar quote that the body does not hold."""
    tag, number = "$evolve$", 0
    while tag in body:
        number += 1
        tag = f"$evolve{number}$"
    return tag


def as_tuple(value: str | Sequence[str]) -> tuple[str, ...]:
    """One condition or several, as a revision may write them."""
    return (value,) if isinstance(value, str) else tuple(value)
