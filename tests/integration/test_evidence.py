"""Gates, looked at in a live database: open, shut, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from support.changes import Carried, Connection

from evolve.plan.gate_sql import FEW, SHUT, Conditions, gate_block
from evolve.plan.gates import NothingToOverride, NotOverridable, Observation, Override, overridden
from evolve.plan.model import (
    BackfillDone,
    ColumnNotNull,
    Gate,
    NoOlderTransaction,
    NoRows,
    RegretOver,
    TriggerArmed,
    Validated,
    ValidIndex,
    Word,
)
from evolve.plan.recipes.columns.rename_column import RenameColumn
from evolve.postgres import evidence
from evolve.postgres.journal import ensure_journal
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

USERS = QualifiedName("users")
CHANGE = "rename_users_name_to_full_name"
TRIGGER = f"zz_evolve_{CHANGE}"
ARMED = TriggerArmed(USERS, TRIGGER)
OLDER = NoOlderTransaction(USERS, TRIGGER)
EQUAL = NoRows(USERS, "full_name IS DISTINCT FROM name", "they differ")


@dataclass
class Users:
    connection: Connection
    url: str
    carried: Carried

    def see(self, gate: Gate) -> Observation:
        return evidence.observe(self.connection, CHANGE, gate)

    def run(self, sql: str) -> None:
        self.connection.execute(sql.encode())


@pytest.fixture
def users(database_url: str) -> Iterator[Users]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL)")
        connection.execute("CREATE INDEX ix_users_name ON users (name)")
        connection.execute("INSERT INTO users SELECT n, n::text FROM generate_series(1, 2000) n")
        carried = Carried(connection, RenameColumn(USERS, "name", "full_name"))
        carried.up("expand")
        yield Users(connection, database_url, carried)


def shut(observation: Observation, observed: str) -> None:
    assert not observation.open
    assert observed in observation.observed
    assert observation.fix


def test_an_armed_trigger(users: Users) -> None:
    assert users.see(ARMED).open


@pytest.mark.parametrize(
    ("sql", "observed"),
    [
        ("ALTER TABLE users DISABLE TRIGGER USER", "does not fire"),
        (f"ALTER TABLE users ENABLE REPLICA TRIGGER {TRIGGER}", "does not fire"),
        (f"DROP TRIGGER {TRIGGER} ON users", "not there"),
        ("DROP TABLE users", "not there"),
    ],
)
def test_a_trigger_that_does_not_fire(users: Users, sql: str, observed: str) -> None:
    users.run(sql)
    shut(users.see(ARMED), observed)


@pytest.mark.parametrize(
    "event",
    ["BEFORE UPDATE", "BEFORE INSERT OR UPDATE OF name", "AFTER INSERT OR UPDATE"],
)
def test_a_trigger_that_misses_writes(users: Users, event: str) -> None:
    users.run(
        f"CREATE OR REPLACE TRIGGER {TRIGGER} {event} ON users "
        f"FOR EACH ROW EXECUTE FUNCTION evolve.sync_{CHANGE}()"
    )
    shut(users.see(ARMED), "made to miss some writes")


def test_another_trigger_of_the_same_name(users: Users) -> None:
    users.run(
        "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        f"CREATE OR REPLACE TRIGGER {TRIGGER} BEFORE INSERT OR UPDATE ON users "
        "FOR EACH ROW EXECUTE FUNCTION public.nothing()"
    )
    shut(users.see(ARMED), "another trigger has its name")


def test_a_transaction_older_than_the_trigger(users: Users, make_database: Callable[..., str]) -> None:
    users.run(f"DROP TRIGGER {TRIGGER} ON users")
    users.run("CREATE TABLE other ()")
    with psycopg.connect(users.url, application_name="a long report") as old:
        old.execute("DROP TABLE other")  # it has an id now, and no lock on our table
        users.run(
            f"CREATE TRIGGER {TRIGGER} BEFORE INSERT ON users FOR EACH ROW "
            f"EXECUTE FUNCTION evolve.sync_{CHANGE}()"
        )
        shut(users.see(OLDER), "a long report")
        old.rollback()
        assert users.see(OLDER).open


def test_a_transaction_younger_than_the_trigger_is_no_matter(users: Users) -> None:
    with psycopg.connect(users.url) as young:
        young.execute("INSERT INTO users (id, name) VALUES (0, 'x')")
        assert users.see(OLDER).open


def test_rows_that_are_left(users: Users) -> None:
    shut(users.see(EQUAL), "1000 rows or more")
    users.run("UPDATE users SET full_name = name WHERE id > 7")
    shut(users.see(EQUAL), "7 rows")
    users.run("UPDATE users SET full_name = name")
    assert users.see(EQUAL).open


def hide_rows(users: Users) -> None:
    """From a role that has to see them all: the tenant's policy shows none where nobody says which tenant."""
    users.run("DROP ROLE IF EXISTS blind")
    users.run("CREATE ROLE blind; GRANT ALL ON users TO blind; ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    users.run("GRANT USAGE ON SCHEMA evolve TO blind")
    users.run("CREATE POLICY tenant ON users USING (id::text = current_setting('app.tenant', true))")
    users.run("SET ROLE blind")


def see_again(users: Users) -> None:
    users.run(
        "RESET ROLE; REVOKE ALL ON users FROM blind; REVOKE ALL ON SCHEMA evolve FROM blind; DROP ROLE blind"
    )


def test_rows_that_row_security_hides_are_not_taken_for_none(users: Users) -> None:
    hide_rows(users)
    shut(users.see(EQUAL), 'row security hides rows of "users" from the role')
    see_again(users)


def test_a_revision_takes_hidden_rows_for_none_neither(users: Users) -> None:
    hide_rows(users)
    block = gate_block(CHANGE, Conditions(no_rows=("users WHERE full_name IS DISTINCT FROM name",)))
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        users.run(block)
    see_again(users)
    users.run("UPDATE users SET full_name = name")
    users.run(f"{block}; SET LOCAL lock_timeout = 0")
    assert users.connection.execute("SHOW row_security").fetchone() == ("on",)


@pytest.mark.parametrize(
    "conditions",
    [Conditions(phase="contract", unmapped=("users.name",)), Conditions(validated=("users.users_pkey",))],
)
def test_a_revision_that_would_change_another_table_of_the_name_stops(
    users: Users, conditions: Conditions
) -> None:
    block = gate_block(CHANGE, conditions)
    users.run(block)
    users.run("CREATE SCHEMA app; CREATE TABLE app.users (); SET search_path = app, public")
    with pytest.raises(psycopg.Error, match=r"finds another relation than public\.users") as raised:
        users.run(block)
    assert raised.value.sqlstate == SHUT


def test_a_backfill_that_nobody_ran(users: Users) -> None:
    """The count of rows beside it decides then."""
    assert users.see(BackfillDone(CHANGE)).open


@pytest.mark.parametrize("state", ["running", "paused", "failed", "cancelled", "undone"])
def test_a_backfill_that_has_not_ended_well(users: Users, state: str) -> None:
    ensure_journal(users.connection)
    users.run("INSERT INTO evolve.backfill (name, spec, fingerprint, created_by) VALUES ('x', '{}', '', '')")
    spec = '{"name": "x", "table": {"name": "users", "schema": "public"}, "assignments": [], '
    spec += '"where": null, "key": null, "mismatch": null}'
    users.run(
        "INSERT INTO evolve.backfill_run (name, spec, fingerprint, table_oid, key_columns, key_types, state, "
        f"journal, fence, started_by) VALUES ('x', '{spec}', '', 0, '{{}}', '{{}}', '{state}', false, '1', '')"
    )
    shut(users.see(BackfillDone("x")), state)


def test_constraints(users: Users) -> None:
    check = "evolve_users_full_name_not_null"
    shut(users.see(Validated(USERS, check)), "not validated")
    shut(users.see(Validated(USERS, "no_such")), "not there")
    users.run("UPDATE users SET full_name = name")
    users.run(f"ALTER TABLE users VALIDATE CONSTRAINT {check}")
    assert users.see(Validated(USERS, check)).open


def test_columns(users: Users) -> None:
    shut(users.see(ColumnNotNull(USERS, "full_name")), "may be null")
    shut(users.see(ColumnNotNull(USERS, "no_such")), "no such column")
    assert users.see(ColumnNotNull(USERS, "name")).open


def test_indexes(users: Users) -> None:
    gate = ValidIndex(QualifiedName("ix_users_name"))
    assert users.see(gate).open
    shut(users.see(ValidIndex(QualifiedName("no_such"))), "not there")
    users.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_users_name'::regclass")
    shut(users.see(gate), "invalid")


def test_words(users: Users) -> None:
    gate = Word("old-code-gone", "no running code uses name")
    shut(users.see(gate), "nobody")
    for actor in ("ada", "bob"):
        evidence.say(users.connection, CHANGE, "contract", "old-code-gone", actor)
    assert "ada" in users.see(gate).observed
    assert len(evidence.events(users.connection, CHANGE)) == 1


def test_a_word_about_one_change_says_nothing_of_another(users: Users) -> None:
    evidence.say(users.connection, "another", "contract", "old-code-gone", "ada")
    shut(users.see(Word("old-code-gone", "")), "nobody")


def test_a_regret_window_passes(users: Users) -> None:
    shut(users.see(RegretOver("contract", 3600)), "never saw contract begin")
    evidence.keep(users.connection, CHANGE, "contract", [], "ada")
    shut(users.see(RegretOver("contract", 3600)), "it began 0 s ago")
    assert "come back in 60 min" in users.see(RegretOver("contract", 3600)).fix
    users.run("UPDATE evolve.change_event SET at = at - interval '2 hours'")
    assert users.see(RegretOver("contract", 3600)).open


def test_an_overridden_gate_is_kept_with_its_reason(users: Users) -> None:
    seen = [Observation(OLDER, False, "pid 4711", "let it end"), Observation(ARMED, True, "enabled")]
    passed = overridden(seen, Override(frozenset({"sessions"}), "it only reads the archive"))
    assert [observation.open for observation in passed] == [True, True]
    evidence.keep(users.connection, CHANGE, "backfill", passed, "ada")
    assert [event.told for event in evidence.events(users.connection, CHANGE)] == [
        "backfill begun",
        "sessions before backfill overridden: it only reads the archive",
    ]


def test_gates_that_guard_values_are_not_overridden(users: Users) -> None:
    seen = [users.see(EQUAL), users.see(ARMED)]
    with pytest.raises(NotOverridable):
        overridden(seen, Override(frozenset({"rows"}), "in a hurry"))
    with pytest.raises(NothingToOverride):  # it is open
        overridden(seen, Override(frozenset({"trigger"}), "in a hurry"))


def test_events_of_the_first_version_are_read(users: Users) -> None:
    evidence.say(users.connection, CHANGE, "contract", "old-code-gone", "ada")
    users.run("ALTER TABLE evolve.change_event DROP COLUMN note")
    users.run("COMMENT ON TABLE evolve.change_event IS 'evolve changes, version 1'")
    assert [event.told for event in evidence.events(users.connection, CHANGE)] == ["old-code-gone confirmed"]
    evidence.keep(users.connection, CHANGE, "contract", [], "ada")  # and taken to the second
    assert [event.note for event in evidence.events(users.connection, CHANGE)] == ["", ""]


def test_what_was_seen_is_kept_once(users: Users) -> None:
    for _ in range(2):
        evidence.keep(users.connection, CHANGE, "backfill", [users.see(ARMED), users.see(OLDER)], "ada")
    rows = users.connection.execute(
        "SELECT phase, observed, actor FROM evolve.evidence ORDER BY 2"
    ).fetchall()
    assert rows == [("backfill", "always enabled", "ada"), ("backfill", "none", "ada")]
    assert [event.kind for event in evidence.events(users.connection, CHANGE)] == ["begun"]


def test_looking_writes_nothing(users: Users) -> None:
    users.see(Word("old-code-gone", ""))
    assert evidence.events(users.connection, CHANGE) == []
    assert users.connection.execute("SELECT to_regclass('evolve.evidence')").fetchone() == (None,)


def test_evidence_of_a_newer_evolve_is_left_alone(users: Users) -> None:
    evidence.ensure_evidence(users.connection)
    users.run("COMMENT ON TABLE evolve.change_event IS 'evolve changes, version 999'")
    with pytest.raises(evidence.EvidenceTooNew):
        evidence.say(users.connection, CHANGE, "contract", "old-code-gone", "ada")


# -- inside the revision ------------------------------------------------------------------------------------
def test_a_table_in_use_is_not_filled_by_a_revision(users: Users) -> None:
    with pytest.raises(psycopg.Error, match=f"more than {FEW} rows") as raised:
        users.carried.up("validate")
    assert raised.value.sqlstate == SHUT
    assert users.connection.execute("SELECT count(full_name) FROM users").fetchone() == (0,)


def test_seed_rows_are_filled_by_the_revision(users: Users) -> None:
    users.run(f"DELETE FROM users WHERE id > {FEW}")
    users.carried.up("validate")
    assert users.see(EQUAL).open


def test_seed_rows_with_deferred_constraints_too(users: Users) -> None:
    users.run("ALTER TABLE users ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    users.run("DELETE FROM users WHERE id > 5")
    users.carried.up("validate")
    assert users.see(ColumnNotNull(USERS, "full_name")).open
