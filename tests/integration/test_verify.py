"""`verify` on a server: it agrees where the linter is right, and finds what the linter is made to get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from support.recordings import SHOP, recording

from evolve.app.verify_revisions import verify_on
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules import DEFAULT
from evolve.lint.verification import Seen, Verification
from evolve.postgres.connect import connect
from evolve.postgres.scratch import Server
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Mark, Recording, Step

pytestmark = pytest.mark.server

ORDERS = QualifiedName("orders")
USERS = QualifiedName("users")


class Liar(Rule):
    """Says of every new column that it rewrites the table under SHARE."""

    id = "EV199"
    name = "liar"
    severity = Severity.ERROR
    why = "it lies"
    lock = LockMode.SHARE
    rewrite = True
    looks_at = (op.AddColumn,)

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if isinstance(step.operation, op.AddColumn):
            yield self.finding(step, "a lie", table=step.operation.table)


class Alarmist(Liar):
    """Says of every new column that it fails."""

    id = "EV198"
    name = "alarmist"
    fails = True


def verified(
    server: Server,
    *recordings: Recording,
    rules: Sequence[Rule] = DEFAULT,
    together: bool = True,
    base: str = SHOP,
) -> Verification:
    shop = recording("shop", *(part.strip() for part in base.split(";\n") if part.strip()), transaction=0)
    judged = {each.revision for each in recordings}
    return verify_on(server, [shop, *recordings], judged, rules, together=together)


def only(verification: Verification) -> Seen:
    (run,) = verification.runs
    return run.seen


def messages(verification: Verification) -> list[str]:
    return [difference.message for difference in verification.differences]


# -- what is seen ----------------------------------------------------------------------------------------------------
def test_locks_rewrites_scans_and_wal_are_recorded(scratch_server: Server) -> None:
    found = verified(scratch_server, recording("r", "ALTER TABLE orders ALTER total TYPE bigint"))

    seen = only(found)
    assert seen.locks is not None
    assert seen.locks[ORDERS] is LockMode.ACCESS_EXCLUSIVE
    assert ORDERS in seen.rewritten
    assert seen.wal_bytes > 0
    assert seen.seconds > 0


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE orders ALTER note SET NOT NULL",
        "CREATE INDEX by_note ON orders (note)",
        "ALTER TABLE orders ALTER total TYPE bigint",
        "ALTER TABLE users ALTER name TYPE varchar(60)",
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (total >= 0)",
        "ALTER TABLE orders ADD COLUMN tax numeric NOT NULL",
        "ALTER TABLE orders ADD COLUMN tax numeric NOT NULL DEFAULT 0",
        "ALTER TABLE orders ALTER placed TYPE timestamptz",
        "ALTER TABLE users DROP COLUMN name",
        "DROP TABLE orders",
        "CREATE TABLE events_2027 PARTITION OF events FOR VALUES IN (2027)",
        "ALTER TABLE orders ADD COLUMN person bigint REFERENCES people",
        "UPDATE orders SET note = 'x'",
        "TRUNCATE orders",
        "TRUNCATE users CASCADE",
        # Each finding is about its own clause, and what the server does is of both.
        "ALTER TABLE orders DROP COLUMN note, ALTER total TYPE numeric(10,4)",
        "ALTER TABLE orders ALTER note SET NOT NULL, DROP COLUMN email",
        "DELETE FROM users WHERE id = 1",
        "autocommit: CREATE INDEX CONCURRENTLY by_note ON orders (note)",
    ],
)
def test_linter_and_server_agree(scratch_server: Server, sql: str) -> None:
    found = verified(scratch_server, recording("r", sql))

    assert messages(found) == []
    assert found.notes == ()


def test_a_table_that_the_revisions_make_is_not_in_use(scratch_server: Server) -> None:
    made = recording("r1", "CREATE TABLE fresh (id bigint, note text)", transaction=1)
    changed = recording("r2", "ALTER TABLE fresh ALTER note SET NOT NULL", transaction=2)

    found = verified(scratch_server, made, changed)

    assert [run.seen.locks for run in found.runs] == [{}, {}]


def test_in_an_old_history_what_an_earlier_revision_made_is_in_use(scratch_server: Server) -> None:
    made = recording("r1", "CREATE TABLE fresh (id bigint, note text)", transaction=1)
    changed = recording("r2", "ALTER TABLE fresh ALTER note SET NOT NULL", transaction=2)

    found = verified(scratch_server, made, changed, together=False)

    assert found.runs[1].seen.locks == {QualifiedName("fresh"): LockMode.ACCESS_EXCLUSIVE}
    assert messages(found) == []


def test_what_runs_outside_transactions_has_no_locks_to_show(scratch_server: Server) -> None:
    found = verified(
        scratch_server, recording("r", "autocommit: CREATE INDEX CONCURRENTLY x ON orders (note)")
    )

    assert only(found).locks is None


def test_a_lock_that_an_earlier_statement_took_is_no_difference(scratch_server: Server) -> None:
    both = recording(
        "r", "ALTER TABLE orders ADD COLUMN tax numeric", "CREATE INDEX by_note ON orders (note)"
    )

    assert messages(verified(scratch_server, both)) == []


# -- differences -----------------------------------------------------------------------------------------------------
def test_a_finding_that_the_server_refutes(scratch_server: Server) -> None:
    found = verified(scratch_server, recording("r", "ALTER TABLE users ADD COLUMN tier text"), rules=[Liar()])

    assert messages(found) == [
        'liar: it says SHARE on "users"; taken: ACCESS EXCLUSIVE',
        'liar: it says that the statement rewrites "users", which it does not',
    ]
    assert {difference.rule for difference in found.differences} == {"EV199"}


def test_a_finding_of_failure_that_the_server_refutes(scratch_server: Server) -> None:
    found = verified(
        scratch_server, recording("r", "ALTER TABLE users ADD COLUMN tier text"), rules=[Alarmist()]
    )

    assert "alarmist: it is said to fail, and does not" in messages(found)


def test_a_hazard_that_no_finding_names(scratch_server: Server) -> None:
    found = verified(scratch_server, recording("r", "ALTER TABLE orders ALTER total TYPE bigint"), rules=[])

    assert messages(found) == [
        'it takes ACCESS EXCLUSIVE on "orders" while it rewrites it; no finding says so'
    ]


def test_what_was_not_predicted_of_a_block_that_is_not_read(scratch_server: Server) -> None:
    block = "DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE users ADD COLUMN n bigserial'); END $$"

    found = verified(scratch_server, recording("r", block))

    assert 'it takes ACCESS EXCLUSIVE on "users"; predicted: none' in messages(found)
    assert 'it rewrites "users"; not predicted' in messages(found)


def test_a_statement_that_the_server_refuses_ends_the_verification(scratch_server: Server) -> None:
    broken = recording("r1", "SELECT 1 / 0", transaction=1)
    behind = recording("r2", "ALTER TABLE users ADD COLUMN tier text", transaction=2)

    found = verified(scratch_server, broken, behind)

    assert messages(found) == ["the server refuses it: division by zero"]
    assert found.ended_at == "r1"
    assert [run.revision for run in found.runs] == ["r1"]


def test_behind_a_failure_that_was_foreseen_the_rest_is_run(scratch_server: Server) -> None:
    both = recording(
        "r", "ALTER TABLE users ADD COLUMN tier text NOT NULL", "ALTER TABLE users ADD COLUMN n int"
    )

    found = verified(scratch_server, both)

    assert messages(found) == []
    assert [run.seen.error is None for run in found.runs] == [False, True]


# -- what cannot be verified -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("GRANT SELECT ON users TO nobody_here", 'role "nobody_here" does not exist'),
        ("CREATE EXTENSION nothing_like_it", 'extension "nothing_like_it" is not available'),
        ("COPY users FROM '/etc/passwd'", "COPY is not run"),
        ("SELECT pg_read_file('/etc/passwd')", "permission denied"),
        ("DO $$ BEGIN EXECUTE (SELECT 'COPY users FROM PROGRAM ''id'''); END $$", "not to be tried"),
        ("CREATE ROLE mine", "permission denied"),
    ],
)
def test_what_a_bare_server_cannot_try_is_said_and_is_no_difference(
    scratch_server: Server, sql: str, says: str
) -> None:
    found = verified(scratch_server, recording("r", sql))

    assert messages(found) == []
    assert [says in note for note in found.notes] == [True]


def test_a_made_up_row_that_does_not_fit_is_taken_away(scratch_server: Server) -> None:
    found = verified(
        scratch_server, recording("r", "ALTER TABLE orders ADD CONSTRAINT big CHECK (total > 1000)")
    )

    assert messages(found) == []
    assert found.notes == ("r.py:1: on empty tables, since a made-up row does not fit",)


def test_tables_that_no_revision_makes_are_made_as_far_as_they_are_known(scratch_server: Server) -> None:
    changes = recording(
        "r",
        "ALTER TABLE ghosts ADD COLUMN n int",
        "ALTER TABLE ghosts ALTER name SET NOT NULL",
        "ALTER TABLE ghosts ADD COLUMN owner bigint REFERENCES spirits (id)",
    )

    found = verified(scratch_server, changes)

    assert messages(found) == []
    assert found.notes == ()
    assert found.runs[1].seen.locks == {QualifiedName("ghosts"): LockMode.ACCESS_EXCLUSIVE}


def test_columns_that_only_keys_and_indexes_tell_of_are_made(scratch_server: Server) -> None:
    changes = recording(
        "r",
        "ALTER TABLE ghosts ADD CONSTRAINT haunts FOREIGN KEY (house_id) REFERENCES houses (id)",
        "ALTER TABLE ghosts ADD CONSTRAINT owned FOREIGN KEY (user_id) REFERENCES users",
        "CREATE INDEX seen ON sightings (place) WHERE witness IS NOT NULL",
        "ALTER TABLE houses ADD CONSTRAINT addressed UNIQUE (street, number)",
    )

    found = verified(scratch_server, changes)

    assert messages(found) == []
    assert found.notes == ()


def test_what_cannot_be_made_is_said(scratch_server: Server) -> None:
    found = verified(scratch_server, recording("r", "ALTER TABLE ghosts DROP CONSTRAINT haunted"))

    assert messages(found) == []
    assert "it needs what no revision makes" in found.notes[0]


def test_an_error_before_the_judged_revisions_is_said_and_goes_on(scratch_server: Server) -> None:
    broken = f"{SHOP};\nALTER TABLE users ADD COLUMN name text"

    found = verified(scratch_server, recording("r", "ALTER TABLE orders ADD COLUMN tax int"), base=broken)

    assert [run.seen.error for run in found.runs] == [None]
    assert 'column "name" of relation "users" already exists' in found.notes[0]


def test_a_revision_that_depends_on_data_is_said(scratch_server: Server) -> None:
    reads = recording("r", "ALTER TABLE users ADD COLUMN tier text", remarks=((Mark.READ_ROWS, 1),))

    assert verified(scratch_server, reads).notes == (
        "r.py depends on data: other statements may run on yours",
    )


def test_a_revision_may_commit_by_itself(scratch_server: Server) -> None:
    commits = recording(
        "r",
        "ALTER TABLE users ADD COLUMN tier text",
        "COMMIT",
        "CREATE INDEX CONCURRENTLY x ON users (tier)",
        "ALTER TABLE users ADD COLUMN n int",
    )

    found = verified(scratch_server, commits)

    assert [run.seen.error for run in found.runs] == [None, None, None]


def test_a_constraint_that_refuses_at_commit_is_said(scratch_server: Server) -> None:
    late = recording(
        "r",
        "CREATE TABLE late (id bigint REFERENCES users DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO late VALUES (99)",
    )

    assert "COMMIT is refused" in verified(scratch_server, late).notes[0]


def test_nothing_of_a_trial_is_left(scratch_server: Server) -> None:
    def there() -> list[tuple[object, ...]]:
        with connect(scratch_server.url) as connection:
            return connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolname LIKE 'evolve_trial%' UNION SELECT datname FROM pg_database"
            ).fetchall()

    before = set(there())
    verified(scratch_server, recording("r", "ALTER TABLE users ADD COLUMN tier text"))

    assert set(there()) == before


# -- what is no disagreement -----------------------------------------------------------------------------------------
NOBODY = "CREATE TABLE empty (id bigint, note text CHECK (note = 'x'), CHECK (id < 0)); "


def test_rows_of_a_partitioned_table_are_those_of_its_partitions(scratch_server: Server) -> None:
    check = "ALTER TABLE events ADD CONSTRAINT late CHECK (year > 2000)"

    assert messages(verified(scratch_server, recording("r", check))) == []


def test_a_partitioned_table_without_partitions_refutes_nothing(scratch_server: Server) -> None:
    base = SHOP + "; CREATE TABLE logs (id bigint, year integer) PARTITION BY LIST (year)"

    found = verified(scratch_server, recording("r", "ALTER TABLE logs ALTER id TYPE text"), base=base)

    assert messages(found) == []


def test_a_table_that_no_row_was_made_up_for_refutes_no_failure(scratch_server: Server) -> None:
    add = recording("r", "ALTER TABLE empty ADD COLUMN tax numeric NOT NULL")

    found = verified(scratch_server, add, base=f"{SHOP}; {NOBODY}")

    assert messages(found) == []
    assert [note for note in found.notes if "no row" in note]


@pytest.mark.parametrize("between", ["ALTER TABLE people RENAME TO persons", "DROP TABLE people"])
def test_made_up_rows_go_from_tables_that_were_renamed_or_dropped(
    scratch_server: Server, between: str
) -> None:
    fails = "ALTER TABLE orders ADD CONSTRAINT low CHECK (id < 10) NOT VALID"
    valid = "ALTER TABLE orders VALIDATE CONSTRAINT low"
    parts = [recording(f"r{n}", sql, transaction=n) for n, sql in enumerate((between, fails, valid), 1)]

    found = verified(scratch_server, *parts, together=False)

    assert [each.message for each in found.differences if each.kind == "failed"] == []
    assert found.ended_at is None


def test_made_up_rows_that_a_later_key_ties_together_go(scratch_server: Server) -> None:
    tie = "ALTER TABLE users ADD CONSTRAINT tie FOREIGN KEY (id) REFERENCES people NOT VALID"
    fails = "ALTER TABLE orders ADD CONSTRAINT low CHECK (id < 10)"
    parts = [recording(f"r{n}", sql, transaction=n) for n, sql in enumerate((tie, fails), 1)]

    found = verified(scratch_server, *parts, together=False)

    assert messages(found) == []


def test_an_index_of_a_materialized_view_blocks_no_reader(scratch_server: Server) -> None:
    base = SHOP + "; CREATE MATERIALIZED VIEW names AS SELECT name FROM users"

    found = verified(scratch_server, recording("r", "CREATE INDEX by_seen ON names (name)"), base=base)

    assert messages(found) == []
