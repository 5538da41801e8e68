"""What a phase takes away from the application, read from its statements."""

from __future__ import annotations

import pytest

from evolve.plan.change import Place
from evolve.plan.model import Part, Phase
from evolve.plan.retired import retired
from evolve.sql.names import QualifiedName
from evolve.sql.statements import Statement

USERS = QualifiedName("users")


def after(*statements: str) -> tuple[Place, ...]:
    return retired(
        Phase("contract", "", (Part("", tuple(Statement(each, None, "") for each in statements)),))
    )


def test_a_column_renamed_out_of_sight() -> None:
    assert after('ALTER TABLE users RENAME COLUMN name TO "_evolve_q_x"') == ((USERS, "name"),)


def test_what_was_out_of_sight_before_does_not_count() -> None:
    assert after('ALTER TABLE users DROP COLUMN "_evolve_q_x"', "DROP TABLE _evolve_q_y") == ()


def test_a_name_that_another_column_takes_is_still_there() -> None:
    swap = (
        'ALTER TABLE users RENAME COLUMN amount TO "_evolve_q_x"',
        "ALTER TABLE users RENAME COLUMN amount_new TO amount",
    )
    assert after(*swap) == ((USERS, "amount_new"),)


def test_a_column_that_comes_and_goes_was_never_there() -> None:
    assert after("ALTER TABLE users ADD COLUMN a int", "ALTER TABLE users DROP COLUMN a") == ()


@pytest.mark.parametrize(
    "statement", ["DROP TABLE users", "ALTER TABLE users RENAME TO people", "DROP VIEW users"]
)
def test_a_relation_goes_with_all_its_columns(statement: str) -> None:
    assert after("ALTER TABLE users RENAME COLUMN name TO other", statement) == ((USERS, None),)


def test_a_table_that_a_view_stands_in_for_is_still_there() -> None:
    assert after("ALTER TABLE users RENAME TO people", "CREATE VIEW users AS SELECT * FROM people") == ()


def test_triggers_and_functions_are_nobodys_names() -> None:
    assert (
        after("DROP TRIGGER zz_evolve_x ON users", "DROP FUNCTION evolve.sync_x()", "UPDATE users SET a = 1")
        == ()
    )
