"""Try on the live database what no catalog answers, before a change is written; everything here reads only.

Connections must be in autocommit mode.
"""

from __future__ import annotations

import json
import re
from typing import assert_never

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, scalar_row

from evolve.counted import counted
from evolve.errors import Misuse, Refused
from evolve.plan.trials import AddsWithoutRewrite, CommandsFit, ExpressionHolds, NoSuchRow, Trial
from evolve.postgres.composing import identifier, table_name, written
from evolve.postgres.composing import type_name as type_sql
from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName

_SECONDS = 30.0  # that one trial may read
_SAMPLE = 10_000  # rows that are looked at before all are
_EXAMPLES = 5


class ConstrainedDomain(Refused):
    def __init__(self, type_name: str, fix: str) -> None:
        super().__init__(
            f'type "{type_name}" is a domain with constraints',
            why="adding a column of such a type rewrites the table under ACCESS EXCLUSIVE",
            fix=fix,
        )


class ExpressionRefused(Misuse):
    def __init__(self, option: str, text: str, reason: str) -> None:
        super().__init__(
            f"{option} {text!r} is refused by the server: {reason}",
            why="the sync trigger would raise the same error for the application's own writes",
            fix="mend the expression",
        )


class NotTotal(Misuse):
    def __init__(self, option: str, text: str, table: QualifiedName) -> None:
        super().__init__(
            f'{option} {text!r} gives null for a row of "{table.plain}"',
            why="that row could never become NOT NULL, and old code that writes such a row would fail",
            fix=f'cover the rest, e.g. {option} "coalesce({text}, …)"',
        )


def attempt(connection: Connection, trial: Trial, *, seconds: float = _SECONDS) -> str | None:
    """Carry out one trial.

    Returns:
        A note for the plan where not everything could be read, or where what was found is no reason to refuse.

    Raises:
        Misuse, Refused: what the trial found.
    """
    match trial:
        case AddsWithoutRewrite(type_name, fix):
            if rewrites_on_add(connection, type_name):
                raise ConstrainedDomain(type_name, fix)
            return None
        case ExpressionHolds():
            if try_expression(connection, trial, seconds=seconds):
                return None
            return (
                f"The table is too large to try {trial.option} on every row within {seconds:g} s: make sure that it "
                "never fails" + ("." if trial.may_be_null else " and never gives a null.")
            )
        case NoSuchRow():
            return _no_such_row(connection, trial, seconds)
        case CommandsFit():
            return _commands_fit(connection, trial)
        case _:
            assert_never(trial)


def _commands_fit(connection: Connection, trial: CommandsFit) -> str | None:
    # The name stands quoted or bare, with nothing but blanks before it: one with a schema finds the table itself.
    name = f"(?:{re.escape(trial.table.name)}|{re.escape(chr(34) + trial.table.name + chr(34))})"
    commands = "|".join(re.escape(command).replace(r"\ ", r"\s+") for command in trial.commands)
    pattern = rf"^\s*(?:{commands})\s+(?:ONLY\s+)?{name}(?:[\s(*,;]|$)"
    try:
        with connection.transaction():
            # No lock.
            connection.execute("SET TRANSACTION READ ONLY")
            row = connection.execute(
                "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relname = 'pg_stat_statements' AND c.relkind = 'v' LIMIT 1"
            ).fetchone()
            if row is None:
                return trial.unseen
            seen = sql.SQL(
                "SELECT left(query, 200) FROM {} WHERE query ~* %s "
                "AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1 LIMIT 5"
            ).format(table_name(QualifiedName("pg_stat_statements", str(row[0]))))
            # No lock.
            found = connection.execute(seen, (pattern,)).fetchall()
    except psycopg.Error:
        return trial.unseen  # it is not preloaded, or may not be read
    if found:
        raise trial.refusal(tuple(str(text) for (text,) in found))
    return None


def _no_such_row(connection: Connection, trial: NoSuchRow, seconds: float) -> str | None:
    table, predicate = table_name(trial.table), written(trial.predicate)
    sample = sql.SQL("(SELECT * FROM {} LIMIT {})").format(table, sql.Literal(_SAMPLE))
    shown = sql.SQL(", ").join([identifier(column) for column in trial.show]) or sql.SQL("1 AS row")
    count = 0
    examples: list[dict[str, object]] = []
    try:
        with connection.transaction():
            # No lock.
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(
                sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(int(seconds * 1000)))
            )
            # A name for the sample that the predicate may use, as it uses the table's.
            name = identifier(trial.table.name)
            for source in (sql.SQL("{} AS {}").format(sample, name), table):
                with connection.cursor(row_factory=dict_row) as cursor:
                    # ACCESS SHARE, for as long as reading the table takes, at most `seconds`.
                    examples = cursor.execute(
                        sql.SQL("SELECT {} FROM {} WHERE {} LIMIT {}").format(
                            shown, source, predicate, sql.Literal(_EXAMPLES)
                        ),
                        (),
                    ).fetchall()
                if examples:
                    break
            if examples:
                with connection.cursor(row_factory=scalar_row) as counter:
                    counted = counter.execute(
                        sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table, predicate), ()
                    ).fetchone()
                count = int(str(counted))
    except (psycopg.errors.DataError, psycopg.errors.IntegrityError):
        if not trial.fails:
            raise
        count, told = _failing_rows(connection, trial, seconds)
        return _answered(trial, count, told)
    except psycopg.errors.QueryCanceled:
        if not examples:
            return (
                f"The table is too large to look for every row where {trial.meaning} within {seconds:g} s: make sure "
                f"that {trial.table} has no row where {trial.predicate}."
            )
        count = len(examples)
    return _answered(trial, count, tuple(_told(example) for example in examples) if trial.show else ())


def _answered(trial: NoSuchRow, count: int, told: tuple[str, ...]) -> str | None:
    if not count:
        return None
    if trial.refusal is not None:
        raise trial.refusal(count, told)
    note = f"{counted(count, 'row')} where {trial.meaning}" + (f": {'; '.join(told)}" if told else "")
    return note if trial.advice is None else f"{note}. {trial.advice(count)}."


def _failing_rows(connection: Connection, trial: NoSuchRow, seconds: float) -> tuple[int, tuple[str, ...]]:
    """Count such rows one by one, also those for which the predicate fails; as many as come in time."""
    shown = sql.SQL(", ").join([sql.Literal(column) for column in trial.show])
    block = sql.SQL(_ROW_BY_ROW).format(
        table=table_name(trial.table),
        name=identifier(trial.table.name),
        predicate=written(trial.predicate),
        shown=shown,
        examples=sql.Literal(_EXAMPLES),
        seconds=sql.Literal(seconds),
    )
    with connection.transaction():
        # No lock.
        connection.execute("SET TRANSACTION READ ONLY")
        # ACCESS SHARE, for as long as reading the table takes, at most `seconds`.
        connection.execute(block, ())
        with connection.cursor(row_factory=scalar_row) as cursor:
            # No lock.
            found = cursor.execute("SELECT current_setting('evolve.found')").fetchone()
    count, examples = json.loads(str(found))
    return int(count), tuple(_told({name: example[name] for name in trial.show}) for example in examples)


_ROW_BY_ROW = """DO $evolve$
DECLARE
    evolve_row {table}%%ROWTYPE;
    evolve_found boolean;
    evolve_count bigint := 0;
    evolve_examples jsonb := '[]';
BEGIN
    FOR evolve_row IN SELECT * FROM {table} LOOP
        BEGIN
            evolve_found := (SELECT {predicate} FROM (SELECT evolve_row.*) AS {name});
        EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
            evolve_found := true;
        END;
        IF evolve_found THEN
            evolve_count := evolve_count + 1;
            IF evolve_count <= {examples} THEN
                evolve_examples := evolve_examples || (
                    SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(evolve_row))
                    WHERE key IN ({shown}));
            END IF;
        END IF;
        EXIT WHEN clock_timestamp() > statement_timestamp() + {seconds} * interval '1 second';
    END LOOP;
    PERFORM set_config('evolve.found', jsonb_build_array(evolve_count, evolve_examples)::text, true);
END $evolve$"""


def _told(row: dict[str, object]) -> str:
    return ", ".join(f"{column}={value!r}" for column, value in row.items())


def try_expression(connection: Connection, trial: ExpressionHolds, *, seconds: float = _SECONDS) -> bool:
    """Compute the expression over the rows that matter, and cast it.

    Returns:
        False where that took longer than `seconds`, so that not every row was tried.

    Raises:
        ExpressionRefused: it does not fit the table or the type, or fails for a row; NotTotal: it gives a null.
    """
    rows = written(trial.rows) if trial.rows is not None else sql.SQL("true")
    value = sql.SQL("CAST({} AS {})").format(written(trial.expression), type_sql(trial.type))
    # count() makes the server compute each value, where IS NULL asks for the first that is.
    query = (
        sql.SQL("SELECT count({1}) FROM {0} WHERE {2}")
        if trial.may_be_null
        else sql.SQL("SELECT 1 FROM {0} WHERE {2} AND {1} IS NULL LIMIT 1")
    ).format(table_name(trial.table), value, rows)
    try:
        with connection.transaction():
            # No lock.
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(
                sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(int(seconds * 1000)))
            )
            # ACCESS SHARE, for as long as reading the table takes, at most `seconds`.
            found = connection.execute(query, ()).fetchone()
    except psycopg.errors.QueryCanceled:
        return False
    except psycopg.errors.InsufficientPrivilege:
        raise  # the table may not be read: nothing is wrong with the expression
    except psycopg.Error as error:
        raise ExpressionRefused(
            trial.option, trial.expression, error.diag.message_primary or str(error)
        ) from error
    if found is not None and not trial.may_be_null:
        raise NotTotal(trial.option, trial.expression, trial.table)
    return True


def rewrites_on_add(connection: Connection, type_name: str) -> bool:
    """True where ADD COLUMN of this type would rewrite the table: a domain that has constraints.

    Raises:
        UnknownType: there is no such type.
    """
    try:
        # ACCESS SHARE on catalogs only.
        row = connection.execute("SELECT to_regtype(%s)::oid", (type_name,)).fetchone()
    except psycopg.Error as error:
        raise UnknownType(type_name) from error
    if row is None or row[0] is None:
        raise UnknownType(type_name)
    found = connection.execute(
        "SELECT typnotnull OR EXISTS (SELECT FROM pg_constraint WHERE contypid = t.oid) FROM pg_type t "
        "WHERE oid = %s AND typtype = 'd'",
        (row[0],),
    ).fetchone()
    return bool(found and found[0])


class UnknownType(Misuse):
    def __init__(self, type_name: str) -> None:
        super().__init__(
            f'there is no type "{type_name}" in the database',
            fix="check the spelling; a type in another schema is written schema.type",
        )
