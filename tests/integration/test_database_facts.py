"""The facts of a database as a server gives them: to a role that may only connect, and while tables are locked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from evolve.app.export_facts import export_facts
from evolve.lint.facts import Facts, read, to_json
from evolve.postgres.connect import Connection, connect
from evolve.postgres.database_facts import NoSuchSchema
from evolve.postgres.scratch import Server
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

TABLES = """
CREATE TABLE users (id bigint PRIMARY KEY, name text);
CREATE TABLE "Odd.Name" (id bigint REFERENCES users);
CREATE TABLE events (id bigint, year integer) PARTITION BY LIST (year);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES IN (2026);
CREATE MATERIALIZED VIEW names AS SELECT name FROM users;
CREATE SCHEMA billing;
CREATE TABLE billing.invoices (id bigint);
CREATE TEMPORARY TABLE mine (id bigint);
INSERT INTO users SELECT n, 'secret ' || n FROM generate_series(1, 1000) n;
UPDATE users SET name = name WHERE id <= 10;
DELETE FROM users WHERE id > 990;
INSERT INTO events SELECT n, 2026 FROM generate_series(1, 100) n;
ANALYZE;
"""
USERS = QualifiedName("users")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url, autocommit=True) as opened:
        opened.execute(TABLES)
        yield opened


def facts_when(url: str, rows_written: int) -> Facts:
    """The facts once the server's counters have arrived, which takes up to a second."""
    end = time.monotonic() + 20
    while True:
        found = export_facts(url)
        writes = found.relations[USERS].writes
        if (writes is not None and writes.total >= rows_written) or time.monotonic() > end:
            return found
        time.sleep(0.05)


def test_rows_and_bytes_are_the_servers(connection: Connection, database_url: str) -> None:
    found = export_facts(database_url).relations[USERS]

    row = connection.execute(
        "SELECT 990, pg_relation_size('users'), pg_indexes_size('users'), pg_table_size('users')"
    ).fetchone()
    assert row is not None
    assert (found.rows, found.heap_bytes, found.index_bytes) == row[:3]


def test_writes_are_counted_by_kind(connection: Connection, database_url: str) -> None:
    connection.close()  # counters arrive with the end of the session at the latest
    writes = facts_when(database_url, 1_020).relations[USERS].writes

    assert writes is not None
    assert (writes.inserts, writes.updates, writes.deletes) == (1_000, 10, 10)


def test_counters_have_an_age(connection: Connection, database_url: str) -> None:
    found = export_facts(database_url)

    assert found.statistics_since is not None
    assert found.statistics_since <= found.taken


def test_partitions_and_keys_name_their_tables(connection: Connection, database_url: str) -> None:
    found = export_facts(database_url).relations

    assert found[QualifiedName("events_2026")].partition_of == QualifiedName("events")
    assert found[QualifiedName("Odd.Name")].references == (USERS,)
    assert [index.name.name for index in found[USERS].indexes] == ["users_pkey"]


def test_all_relations_are_there_but_temporary_ones(connection: Connection, database_url: str) -> None:
    found = {name.plain: relation.kind for name, relation in export_facts(database_url).relations.items()}

    assert found == {
        "billing.invoices": "table",
        "Odd.Name": "table",
        "events": "partitioned table",
        "events_2026": "table",
        "names": "materialized view",
        "users": "table",
    }


def test_no_value_of_any_row_is_written(connection: Connection, database_url: str) -> None:
    assert "secret" not in to_json(export_facts(database_url))


def test_only_the_schemas_that_are_asked_for(connection: Connection, database_url: str) -> None:
    found = export_facts(database_url, ["billing"])

    assert [name.plain for name in found.relations] == ["billing.invoices"]
    assert found.schemas == ("billing",)


def test_a_schema_that_is_not_there_is_named(connection: Connection, database_url: str) -> None:
    with pytest.raises(NoSuchSchema, match="biling"):
        export_facts(database_url, ["biling"])


def test_a_role_that_may_only_connect_sees_the_same(
    connection: Connection, database_url: str, scratch_server: Server
) -> None:
    connection.execute("CREATE ROLE only_connects LOGIN PASSWORD 'only'")
    place = urlsplit(database_url)
    poor = place._replace(netloc=f"only_connects:only@{place.netloc.rpartition('@')[2]}").geturl()
    try:
        found = export_facts(poor).relations[USERS]
    finally:
        connection.execute("DROP ROLE only_connects")

    assert (found.rows, found.heap_bytes) == (990, export_facts(database_url).relations[USERS].heap_bytes)


def test_a_locked_table_is_not_waited_for(connection: Connection, database_url: str) -> None:
    connection.execute("BEGIN; LOCK users")

    found = export_facts(database_url)

    assert found.approximate
    assert found.relations[USERS].heap_bytes > 0


def test_sizes_of_the_last_analyze_are_never_negative(
    connection: Connection, database_url: str, tmp_path: Path
) -> None:
    connection.execute("CREATE INDEX ON events (id); ANALYZE; BEGIN; LOCK users")
    file = tmp_path / "facts.json"
    file.write_text(to_json(export_facts(database_url)), encoding="utf-8")

    assert QualifiedName("events") in read(file).relations


def test_names_are_read_in_a_database_without_an_encoding(scratch_server: Server) -> None:
    name = "facts_sql_ascii"
    with connect(scratch_server.url, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0".encode()
        )
    url = urlsplit(scratch_server.url)._replace(path=f"/{name}").geturl()
    try:
        with connect(url, autocommit=True) as opened:
            opened.execute('CREATE TABLE users (id bigint); CREATE TABLE "café" (id bigint)')

        found = export_facts(url)
    finally:
        scratch_server.drop_database(url)

    assert [each.plain for each in found.relations] == ["café", "users"]


def test_names_that_the_role_has_no_letters_for_are_read(connection: Connection, database_url: str) -> None:
    connection.execute('CREATE TABLE "\u2713" (id bigint)')
    connection.execute("ALTER ROLE CURRENT_USER SET client_encoding = 'LATIN1'")
    try:
        found = export_facts(database_url)
    finally:
        connection.execute("ALTER ROLE CURRENT_USER RESET client_encoding")

    assert QualifiedName("\u2713") in found.relations
