"""How many partitions of a table queries scan: those of files, or those that pg_stat_statements has counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evolve.errors import Misuse
from evolve.partition.advice.pruning import Explanation, Pruned, Query, Unexplained, judge
from evolve.partition.advice.query_plan import scans
from evolve.partition.advice.scheme import Scheme
from evolve.postgres.connect import Connection, connect
from evolve.postgres.pruning import CannotPlan, explain, read_scheme, views_of
from evolve.postgres.query_statistics import Statements, read_statements
from evolve.sql.names import QualifiedName
from evolve.sql.parse import split
from evolve.sql.placeholders import cast_after, numbered
from evolve.sql.query_use import query_use, statement_kind

STATEMENT_TIMEOUT = 5_000  # milliseconds, for the planning of one query


class CannotReadQueries(Misuse):
    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(
            f'the queries "{file}" cannot be read: {reason}',
            fix="name a file of SQL statements, each closed by a semicolon",
        )


def explain_queries(
    url: str,
    table: QualifiedName,
    files: Sequence[Path],
    limit: int | None = None,
    *,
    strict: bool = False,
    timeout: int = STATEMENT_TIMEOUT,
) -> Explanation:
    """Plan each query that reads `table`; none is executed, and nothing is written.

    Args:
        files: of SQL; without any, what pg_stat_statements has counted.
        limit: of partitions that a query may scan.
        strict: what depends on values, and what cannot be planned, is past the limit too.
        timeout: milliseconds that the planning of one query may take.

    Raises:
        CannotReadQueries: a file is not there, or is no text.
        NotPartitioned: `table` is an ordinary table, or none.
        NoStatements: without `files`: there is no pg_stat_statements.
    """
    queries = [query for file in files for query in _queries(file)]
    with connect(url, application_name="evolve partition explain", autocommit=True) as connection:
        scheme = read_scheme(connection, table)
        notes: tuple[str, ...] = ()
        if not files:
            statements = read_statements(connection)
            queries, notes = list(_counted(connection, statements, scheme)), _notes(statements)
        pruned: list[Pruned] = []
        unexplained: list[Unexplained] = []
        elsewhere = 0
        for query in queries:
            text = cast_after(numbered(query.text))
            if statement_kind(text) is None:
                if not files:
                    continue  # it counts SET, BEGIN and the like as well
                unexplained.append(
                    Unexplained(query, "it is not one SELECT, INSERT, UPDATE, DELETE or MERGE")
                )
                continue
            try:
                found = scans(explain(connection, text, scheme, timeout), scheme)
            except CannotPlan as error:
                unexplained.append(Unexplained(query, str(error)))
                continue
            use = query_use(text, table, {})
            if found.leaves or found.removed or (use is not None and use.scopes):
                pruned.append(judge(query, scheme, found))
            else:
                elsewhere += 1
    pruned.sort(key=lambda each: (-each.at_run, -(each.query.seconds or 0.0)))
    return Explanation(scheme, tuple(pruned), tuple(unexplained), elsewhere, limit, strict, notes)


def _queries(file: Path) -> Iterator[Query]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise CannotReadQueries(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise CannotReadQueries(file, "it is not text in UTF-8") from error
    end = 0
    for part in split(text):
        start = text.find(part, end)
        end = start + len(part)
        yield Query(part, f"{file}:{text.count(chr(10), 0, start) + 1}")


def _counted(connection: Connection, statements: Statements, scheme: Scheme) -> Iterator[Query]:
    """Those that name the table, one of its partitions, or a view that reads it."""
    names = {scheme.table.name, *(leaf.name for leaf in scheme.leaves), *views_of(connection, scheme.table)}
    for each in statements.counted:
        if names & {*re.findall(r"[\w$]+", each.text.lower()), *re.findall(r'"([^"]+)"', each.text)}:
            yield Query(each.text, "pg_stat_statements", each.calls, each.seconds)


def _notes(statements: Statements) -> tuple[str, ...]:
    notes = []
    if statements.hidden:
        notes.append(
            f"{statements.hidden} statements of other roles may not be read: GRANT pg_read_all_stats"
        )
    if statements.evicted:
        notes.append("pg_stat_statements had no room for all statements: raise pg_stat_statements.max")
    return tuple(notes)
