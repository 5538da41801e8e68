"""Constraints: what is found about them, and what looks like a hazard and is none."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.model import Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints import RULES
from evolve.lint.rules.constraints.drop_pk_replica_identity import DropPkReplicaIdentity

ADD = "ALTER TABLE orders ADD CONSTRAINT c"
UNIQUE = "ALTER TABLE users ADD CONSTRAINT users_email UNIQUE (email)"
SETUP = (
    UNIQUE,
    "CREATE TABLE shops (id bigint PRIMARY KEY, code integer UNIQUE, tag text)",
    "ALTER TABLE orders ADD COLUMN shop_id bigint, ADD COLUMN code integer, ADD COLUMN tag text",
    "CREATE INDEX by_code ON orders (code)",
    "CREATE INDEX by_tag ON orders (tag)",
    "ALTER TABLE people ADD COLUMN boss_id bigint REFERENCES users ON DELETE CASCADE",
    "CREATE UNIQUE INDEX one_nick ON people (nick)",
)


def found(*statements: str, version: int = 15, rules: tuple[Rule, ...] = RULES) -> list[str]:
    """Rules of this package that find something in one revision, on top of the set-up, which is in use."""
    judged = judge(
        recording("setup", *SETUP, transaction=2),
        recording("r", *statements, transaction=3),
        rules=tuple(rule for rule in rules if not rule.opt_in),
        together=False,
        version=version,
    )
    return names([finding for finding in judged if finding.revision == "r"])


def asked(rule: str, *statements: str, version: int = 15) -> list[str]:
    """What a rule that is opt-in finds in one revision."""
    chosen = tuple(each for each in RULES if each.name == rule)
    return names(judge(recording("r", *statements), rules=chosen, version=version))


@pytest.mark.parametrize(
    ("sql", "rules"),
    [
        (f"{ADD} EXCLUDE USING btree (user_id WITH =)", ["add-exclusion"]),
        (f"{ADD} CHECK (placed < now()) NOT VALID", ["check-volatile"]),
        (f"{ADD} CHECK (total > random()) NOT VALID", ["check-volatile"]),
        ("CREATE TABLE t (d date CHECK (d < CURRENT_DATE))", ["check-volatile"]),
        ("CREATE DOMAIN past AS date CHECK (VALUE < CURRENT_DATE)", ["check-volatile"]),
        (f"{ADD} FOREIGN KEY (shop_id) REFERENCES shops NOT VALID", ["fk-missing-index"]),
        ("ALTER TABLE orders ADD COLUMN c bigint REFERENCES shops", ["fk-missing-index"]),
        ("CREATE TABLE t (c bigint REFERENCES shops ON DELETE CASCADE)", ["fk-missing-index"]),
        (f"{ADD} FOREIGN KEY (code) REFERENCES shops NOT VALID", ["fk-type-mismatch"]),
        (f"{ADD} FOREIGN KEY (tag) REFERENCES shops NOT VALID", ["fk-type-mismatch"]),
        ("ALTER TABLE users DROP CONSTRAINT users_email", ["drop-constraint"]),
        ("DROP INDEX one_nick", ["drop-constraint"]),
        ("ALTER TABLE people DROP CONSTRAINT people_boss_id_fkey", ["drop-constraint"]),
        ("ALTER TABLE orders DROP CONSTRAINT orders_pkey", ["drop-pk-replica-identity"]),
        ("ALTER TABLE orders DROP COLUMN id", ["drop-pk-replica-identity"]),
        ("ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0) NOT ENFORCED", ["not-enforced"]),
        ("ALTER TABLE orders ALTER CONSTRAINT orders_user_id_fkey NOT ENFORCED", ["not-enforced"]),
        ("CREATE TABLE t (c integer CHECK (c > 0) NOT ENFORCED)", ["not-enforced"]),
    ],
)
def test_hazard_is_found(sql: str, rules: list[str]) -> None:
    assert found(sql) == rules


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE t (during tstzrange, EXCLUDE USING gist (during WITH &&))",),
        (f"{ADD} CHECK (placed < '2020-01-01') NOT VALID",),
        (f"{ADD} CHECK (lower(email) = email) NOT VALID",),
        # The index may come after the foreign key, lead with more, or leave out nulls.
        (f"{ADD} FOREIGN KEY (shop_id) REFERENCES shops NOT VALID", "CREATE INDEX i ON orders (shop_id, id)"),
        (
            f"{ADD} FOREIGN KEY (shop_id) REFERENCES shops NOT VALID",
            "CREATE INDEX i ON orders USING hash (shop_id)",
        ),
        (
            f"{ADD} FOREIGN KEY (shop_id) REFERENCES shops NOT VALID",
            "CREATE INDEX i ON orders (shop_id) WHERE shop_id IS NOT NULL",
        ),
        ("CREATE TABLE t (c bigint REFERENCES shops)",),
        ("CREATE TABLE t (c bigint PRIMARY KEY REFERENCES shops ON DELETE CASCADE)",),
        (f"{ADD} FOREIGN KEY (code) REFERENCES shops (code) NOT VALID",),
        ("CREATE TABLE t (id bigint PRIMARY KEY, parent bigint REFERENCES t)",),
        # A foreign key that goes alone locks its tables for an instant.
        ("ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey",),
        # Only more is let in, or another one keeps the promise.
        ("ALTER TABLE people DROP CONSTRAINT people_email_check",),
        (
            "autocommit: CREATE UNIQUE INDEX CONCURRENTLY i ON users (email)",
            "ALTER TABLE users DROP CONSTRAINT users_email",
        ),
        (
            "ALTER TABLE users DROP CONSTRAINT users_email",
            "ALTER TABLE users ADD CONSTRAINT e UNIQUE (email)",
        ),
        ("ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY USING INDEX i",),
        ("ALTER TABLE users DROP CONSTRAINT users_email", "DROP TABLE users"),
        ("ALTER TABLE users DROP CONSTRAINT users_email", "ALTER TABLE users DROP COLUMN email"),
        ("DROP INDEX one_nick", "ALTER TABLE people DROP COLUMN nick"),
        ("CREATE TABLE t (id bigint CONSTRAINT k UNIQUE)", "ALTER TABLE t DROP CONSTRAINT k"),
    ],
)
def test_what_only_looks_like_a_hazard_is_not_found(statements: tuple[str, ...]) -> None:
    others = ("add-unique-building-index", "add-pk-nullable-columns", "drop-fk")

    assert [name for name in found(*statements) if name not in others] == []


def test_partial_index_does_not_serve_a_foreign_key() -> None:
    index = "CREATE INDEX i ON orders (shop_id) WHERE status = 'new'"

    assert found(index, f"{ADD} FOREIGN KEY (shop_id) REFERENCES shops NOT VALID") == ["fk-partial-index"]


def test_foreign_key_between_types_that_cannot_be_compared_fails() -> None:
    add = "ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (note) REFERENCES users NOT VALID"

    mismatch = next(each for each in judge(recording("r", add)) if each.name == "fk-type-mismatch")

    assert mismatch.fails
    assert mismatch.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("own", "target", "fails"),
    [
        ("numeric", "bigint", True),
        ("integer", "numeric", False),
        ("date", "timestamptz", False),
        ("uuid", "text", True),
        ("char(3)", "text", False),
        ("double precision", "numeric", True),
    ],
)
def test_which_types_a_foreign_key_can_join(own: str, target: str, fails: bool) -> None:
    made = judge(
        recording(
            "r",
            f"CREATE TABLE a (k {target} PRIMARY KEY)",
            f"CREATE TABLE b (k {own} REFERENCES a)",
        )
    )

    assert [(each.name, each.fails) for each in made] == [("fk-type-mismatch", fails)]


class TestSeveralForeignKeys:
    FIRST = "ALTER TABLE orders ADD CONSTRAINT a FOREIGN KEY (code) REFERENCES shops (code) NOT VALID"
    SECOND = "ALTER TABLE orders ADD CONSTRAINT b FOREIGN KEY (user_id) REFERENCES users NOT VALID"

    def test_to_further_tables_are_found(self) -> None:
        assert found(self.FIRST, self.SECOND) == ["add-fk-many"]

    def test_to_the_same_table_lock_nothing_more(self) -> None:
        again = self.FIRST.replace("CONSTRAINT a", "CONSTRAINT b").replace("(code) REF", "(id) REF")

        assert "add-fk-many" not in found(self.FIRST, again)

    def test_in_transactions_of_their_own_are_fine(self) -> None:
        assert found(self.FIRST, f"autocommit: {self.SECOND}") == []

    def test_of_a_new_table_are_fine(self) -> None:
        make = "CREATE TABLE t (a bigint PRIMARY KEY, b bigint UNIQUE)"
        keys = (
            "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES users",
            "ALTER TABLE t ADD FOREIGN KEY (b) REFERENCES users",
        )

        assert found(make, *keys) == []


class TestDroppedForeignKey:
    DROP = "ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey"

    def test_is_found_where_slow_work_stands_behind_it(self) -> None:
        assert "drop-fk" in found(self.DROP, "CREATE INDEX i ON people (id)")

    @pytest.mark.parametrize(
        "statements",
        [
            ("COMMENT ON TABLE orders IS 'x'", DROP),
            (DROP, "ALTER TABLE orders ADD COLUMN c integer"),
            (DROP, "autocommit: CREATE INDEX CONCURRENTLY i ON people (id)"),
        ],
    )
    def test_for_an_instant_is_fine(self, statements: tuple[str, ...]) -> None:
        assert "drop-fk" not in found(*statements)

    def test_goes_with_its_table(self) -> None:
        assert "drop-fk" in found("DROP TABLE orders", "CREATE INDEX i ON people (id)")

    def test_is_told_of_once_for_a_table_that_stays_locked(self) -> None:
        add = "ALTER TABLE orders ADD CONSTRAINT again FOREIGN KEY (user_id) REFERENCES users NOT VALID"
        again = "ALTER TABLE orders DROP CONSTRAINT again"

        assert found(add, self.DROP, again, "CREATE INDEX i ON people (id)").count("drop-fk") == 1

    def test_of_two_tables_that_go_together(self) -> None:
        assert found("DROP TABLE orders, people, users") == []


def test_dropping_a_key_that_is_pointed_at_fails() -> None:
    drop = "ALTER TABLE users DROP CONSTRAINT users_pkey"

    [plain] = judge(recording("r", drop), rules=(DropPkReplicaIdentity(),))
    [cascade] = judge(recording("r", f"{drop} CASCADE"), rules=(DropPkReplicaIdentity(),))

    assert (plain.fails, cascade.fails) == (True, False)


class TestNeverValidated:
    NOT_VALID = f"{ADD} CHECK (total > 0) NOT VALID"
    NEXT = "ALTER TABLE people ADD COLUMN c integer"

    def names(self, *revisions: str, metadata: dict[str, str] | None = None) -> list[str]:
        first, *rest = revisions
        return names(
            judge(
                recording("r0", first, metadata=metadata),
                *(recording(f"r{n}", sql, transaction=1 + n) for n, sql in enumerate(rest, 1)),
            )
        )

    def test_is_found_where_further_revisions_do_other_things(self) -> None:
        assert self.names(self.NOT_VALID, self.NEXT) == ["not-valid-never-validated"]

    def test_is_not_found_where_one_validates(self) -> None:
        assert self.names(self.NOT_VALID, "ALTER TABLE orders VALIDATE CONSTRAINT c", self.NEXT) == []

    def test_of_the_last_revision_comes_with_a_later_release(self) -> None:
        assert self.names(self.NEXT, self.NOT_VALID) == []

    def test_of_a_planned_change_comes_with_its_next_phase(self) -> None:
        assert self.names(self.NOT_VALID, self.NEXT, metadata={"change": "x", "phase": "expand"}) == []

    def test_is_not_found_where_the_constraint_is_dropped(self) -> None:
        assert self.names(self.NOT_VALID, "ALTER TABLE orders DROP CONSTRAINT c", self.NEXT) == []


class TestPrimaryKeyUsingIndex:
    BUILD = "autocommit: CREATE UNIQUE INDEX CONCURRENTLY i ON people (name)"
    USE = "ALTER TABLE people DROP CONSTRAINT people_pkey, ADD CONSTRAINT k PRIMARY KEY USING INDEX i"

    def test_over_nullable_columns_is_found(self) -> None:
        assert found(self.BUILD, self.USE) == ["add-pk-nullable-columns"]

    def test_over_proven_columns_is_fine(self) -> None:
        build = "autocommit: CREATE UNIQUE INDEX CONCURRENTLY i ON orders (id, total)"

        assert found(build, self.USE.replace("people", "orders")) == []


@pytest.mark.parametrize(
    ("sql", "finds"),
    [
        (f"{ADD} CHECK (total > 0) NOT VALID", True),
        (f"{ADD} CHECK (total IS NOT NULL) NOT VALID", False),
        (f"{ADD} FOREIGN KEY (id) REFERENCES users NOT VALID", True),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON orders (email)", True),
        ("CREATE INDEX CONCURRENTLY i ON orders (email)", False),
        ("CREATE TABLE t (c integer CHECK (c > 0))", False),
    ],
)
def test_new_write_restriction(sql: str, finds: bool) -> None:
    assert bool(asked("new-write-restriction", sql)) is finds


def test_a_domain_in_use_that_gets_stricter_refuses_writers() -> None:
    use = "ALTER TABLE orders ADD COLUMN rate percent"
    stricter = "ALTER DOMAIN percent ADD CONSTRAINT c CHECK (VALUE > 10) NOT VALID"
    rule = tuple(each for each in RULES if each.name == "new-write-restriction")

    unused = judge(recording("r", stricter), rules=rule)
    used = judge(recording("a", use), recording("r", stricter), rules=rule, together=False)

    assert (names(unused), names(used)) == ([], ["new-write-restriction"])


@pytest.mark.parametrize(
    ("rule", "sql", "finds"),
    [
        ("unnamed-constraint", "ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES users NOT VALID", True),
        ("unnamed-constraint", "CREATE TABLE t (id bigint PRIMARY KEY, c text CONSTRAINT k UNIQUE)", False),
        ("unnamed-constraint", "CREATE TABLE t (id bigint PRIMARY KEY, c text UNIQUE)", True),
        ("rename-constraint", "ALTER TABLE orders RENAME CONSTRAINT orders_pkey TO k", True),
        ("fk-cascade", f"{ADD} FOREIGN KEY (id) REFERENCES users ON DELETE CASCADE NOT VALID", True),
        ("fk-cascade", f"{ADD} FOREIGN KEY (id) REFERENCES users ON DELETE SET NULL NOT VALID", False),
        ("fk-no-on-delete", f"{ADD} FOREIGN KEY (id) REFERENCES users NOT VALID", True),
        ("fk-no-on-delete", f"{ADD} FOREIGN KEY (id) REFERENCES users ON DELETE RESTRICT NOT VALID", False),
        ("fk-not-deferrable", f"{ADD} FOREIGN KEY (id) REFERENCES users NOT VALID", True),
        ("fk-not-deferrable", f"{ADD} FOREIGN KEY (id) REFERENCES users DEFERRABLE NOT VALID", False),
    ],
)
def test_guidelines_find_what_they_name(rule: str, sql: str, finds: bool) -> None:
    assert bool(asked(rule, sql)) is finds


@pytest.mark.parametrize(
    ("sql", "breaks"),
    [
        ("ALTER TABLE orders ADD COLUMN c integer UNIQUE", False),
        ("ALTER TABLE orders ADD COLUMN c integer DEFAULT 1 UNIQUE", True),
        ("ALTER TABLE orders ADD COLUMN c integer CHECK (c > 0)", False),
        ("ALTER TABLE orders ADD COLUMN c integer CHECK (c > id)", True),
        ("ALTER TABLE orders ADD UNIQUE (note)", True),
        ("ALTER TABLE orders ADD CHECK (note <> '')", True),
    ],
)
def test_code_that_does_not_know_a_column_cannot_break_its_constraint(sql: str, breaks: bool) -> None:
    rules = ("add-unique-building-index", "unique-of-one-value", "add-check-validated")

    assert [f.breaks_old_code for f in judge(recording("r", sql)) if f.name in rules] == [breaks]


def test_a_key_of_the_partitioned_table_alone_builds_nothing() -> None:
    assert "add-unique-building-index" not in found("ALTER TABLE ONLY events ADD UNIQUE (id, year)")


@pytest.mark.parametrize(
    ("statements", "refused"),
    [
        (("ALTER TABLE orders ADD FOREIGN KEY (email) REFERENCES users (name)",), True),
        (("CREATE TABLE t (id bigint, FOREIGN KEY (id) REFERENCES orders (user_id))",), True),
        (
            (
                "CREATE UNIQUE INDEX u ON users (name) WHERE id > 5",
                "ALTER TABLE t ADD FOREIGN KEY (e) REFERENCES users (name)",
            ),
            True,
        ),
        (
            (
                "CREATE UNIQUE INDEX u ON users (name)",
                "ALTER TABLE t ADD FOREIGN KEY (e) REFERENCES users (name)",
            ),
            False,
        ),
        (("ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users",), False),
        (("ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES elsewhere (number)",), False),
    ],
)
def test_foreign_keys_need_a_unique_target(statements: tuple[str, ...], refused: bool) -> None:
    assert bool(asked("fk-target-not-unique", *statements)) is refused
