"""What is read of a live table before it is changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evolve.postgres.connect import Connection, connect
from evolve.postgres.table_facts import NoSuchColumn, NoSuchTable, dependents_of_column, table_facts
from evolve.sql.facts import ColumnGrant, Publication
from evolve.sql.names import QualifiedName

USERS = QualifiedName("users")

SETUP = """
CREATE TABLE users (
    id serial PRIMARY KEY,
    email text UNIQUE CHECK (email <> ''),
    name text NOT NULL DEFAULT 'x',
    shout text GENERATED ALWAYS AS (upper(name)) STORED
);
INSERT INTO users (email, name) SELECT g::text, g::text FROM generate_series(1, 300) g;
ANALYZE users;
CREATE INDEX ON users (lower(name));
CREATE INDEX named_partly ON users (id) WHERE name <> 'y';
CREATE TABLE orders (id int, email text REFERENCES users (email));
CREATE VIEW listed AS SELECT name, email FROM users;
CREATE MATERIALIZED VIEW counted AS SELECT name, count(*) FROM users GROUP BY 1;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER on_name BEFORE UPDATE OF name ON users FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER on_any AFTER INSERT ON users FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE POLICY own ON users USING (name = current_user);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS together ON name, email FROM users;
GRANT SELECT (name), UPDATE (name) ON users TO public;
CREATE PUBLICATION all_of_it FOR TABLE users;
ALTER TABLE users REPLICA IDENTITY FULL;
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url, autocommit=True) as opened:
        opened.execute("SET client_min_messages = error")
        opened.execute(SETUP.encode())
        yield opened


def test_facts_of_a_table(connection: Connection) -> None:
    facts = table_facts(connection, USERS)
    assert facts.estimated_rows == 300
    assert facts.bytes > 8192
    assert {index.name.name for index in facts.indexes} == {
        "users_pkey",
        "users_email_key",
        "users_lower_idx",
        "named_partly",
    }
    assert [(table.name, key.columns) for table, key in facts.foreign_keys_in] == [("orders", ("email",))]
    assert {view.name.name for view in facts.views} == {"listed", "counted"}
    assert set(facts.table.triggers) == {"on_name", "on_any"}
    assert facts.publications == (Publication("all_of_it"),)
    assert facts.policies == ("own",)
    assert (facts.row_security, facts.force_row_security) == (True, False)
    assert facts.replica_identity == "full"
    assert facts.owner_is_us
    assert facts.server_version == connection.info.server_version // 10000
    assert facts.column_grants == (
        ColumnGrant("name", "public", "SELECT"),
        ColumnGrant("name", "public", "UPDATE"),
    )


def test_rows_and_bytes_of_a_partitioned_table_are_those_of_its_partitions(connection: Connection) -> None:
    connection.execute(
        """
        CREATE TABLE logs (id int) PARTITION BY RANGE (id);
        CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (100);
        CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM (100) TO (200);
        INSERT INTO logs SELECT generate_series(0, 199);
        ANALYZE logs;
        """
    )
    facts = table_facts(connection, QualifiedName("logs"))
    assert facts.is_partitioned
    assert facts.estimated_rows == 200
    assert facts.bytes >= 2 * 8192


def test_a_table_that_was_never_analysed_has_no_estimate(connection: Connection) -> None:
    connection.execute("CREATE TABLE untouched (id int)")
    assert table_facts(connection, QualifiedName("untouched")).estimated_rows is None


def test_everything_that_names_a_column_is_found(connection: Connection) -> None:
    found = {(d.kind, d.name) for d in dependents_of_column(connection, USERS, "name")}
    assert found == {
        ("default", "name"),
        ("generated column", "shout"),
        ("grant", "public"),
        ("index", "named_partly"),
        ("index", "users_lower_idx"),
        ("materialized view", "counted"),
        ("policy", "own"),
        ("statistics", "together"),
        ("trigger", "on_name"),
        ("view", "listed"),
    }


def test_keys_and_checks_of_a_column_are_found(connection: Connection) -> None:
    found = {(d.kind, d.name) for d in dependents_of_column(connection, USERS, "email")}
    assert found == {
        ("constraint", "users_email_check"),
        ("constraint", "users_email_key"),
        ("foreign key to it", "orders_email_fkey"),
        ("index", "users_email_key"),
        ("statistics", "together"),
        ("view", "listed"),
    }


def test_the_sequence_and_the_partition_key_of_a_column_are_found(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE logs (id serial, at date) PARTITION BY RANGE (date_trunc('day', at::timestamp))"
    )
    logs = QualifiedName("logs")
    assert {(d.kind, d.name) for d in dependents_of_column(connection, logs, "id")} == {
        ("default", "id"),
        ("sequence", "logs_id_seq"),
    }
    assert {(d.kind, d.name) for d in dependents_of_column(connection, logs, "at")} == {
        ("partition key", "logs")
    }


def test_a_missing_table_or_column_is_said_with_what_there_is(connection: Connection) -> None:
    with pytest.raises(NoSuchTable, match='no table "user" in this database'):
        table_facts(connection, QualifiedName("user"))
    with pytest.raises(NoSuchTable):
        dependents_of_column(connection, QualifiedName("user"), "id")
    with pytest.raises(NoSuchColumn, match="id, email, name, shout"):
        dependents_of_column(connection, USERS, "nmae")
