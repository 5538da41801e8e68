"""An exclusion constraint is refused, and what the refusal says of PostgreSQL is so."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Connection

from evolve.errors import EvolveError, Misuse
from evolve.plan.change import Change
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.constraints.add_exclude import AddExclude, CannotBeBuilt
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

BOOKINGS = QualifiedName("bookings")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bookings (id int PRIMARY KEY, room int, during int4range)")
        yield connection


def test_it_is_built_while_nobody_reads(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("ALTER TABLE bookings ADD EXCLUDE USING gist (during WITH &&)")
        modes = connection.execute(
            "SELECT mode FROM pg_locks WHERE relation = 'bookings'::regclass AND pid = pg_backend_pid()"
        ).fetchall()
    assert ("AccessExclusiveLock",) in modes


@pytest.mark.parametrize(
    "clause", ["EXCLUDE USING gist (during WITH &&) NOT VALID", "EXCLUDE USING INDEX ready"]
)
def test_no_form_of_it_spares_the_table(connection: Connection, clause: str) -> None:
    connection.execute("CREATE INDEX ready ON bookings USING gist (during)")
    with pytest.raises((psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported)):
        connection.execute(f"ALTER TABLE bookings ADD CONSTRAINT c {clause}".encode())


@pytest.mark.parametrize(
    ("change", "cause", "words"),
    [
        (AddExclude(BOOKINGS, "room WITH =, during WITH &&"), CannotBeBuilt, "trigger"),
        (AddExclude(BOOKINGS, "room WITH =", "btree"), CannotBeBuilt, "evolve plan add-unique bookings room"),
        (AddExclude(BOOKINGS, "(room + 1) WITH ="), CannotBeBuilt, "trigger"),
        (AddExclude(BOOKINGS, "nobody WITH ="), Misuse, "name one of"),
        (AddExclude(BOOKINGS, "lower(nobody) WITH ="), Misuse, "name one of"),
        (AddExclude(BOOKINGS, "room"), Misuse, "WITH"),
        (AddExclude(BOOKINGS, "room WITH =); DROP TABLE bookings; --"), Misuse, "WITH"),
        (AddExclude(BOOKINGS, "room WITH =", name="bookings_pkey"), Misuse, "--name"),
    ],
)
def test_it_is_refused(connection: Connection, change: Change, cause: type[EvolveError], words: str) -> None:
    with pytest.raises(cause) as refused:
        make_plan(change, LiveFacts(connection))
    assert words in str(refused.value.fix)
