"""Changes and plans as values: their names, their hash."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.changes import facts_of

from evolve.plan.change import Change
from evolve.plan.model import function_name, quarantine_name, trigger_name
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.columns.add_required_column import AddRequiredColumn
from evolve.plan.recipes.columns.rename_column import RenameColumn
from evolve.plan.recipes.columns.set_not_null import SetNotNull
from evolve.plan.target import Target, TargetColumn, TargetConstraint
from evolve.sql.names import MAX_BYTES, QualifiedName

USERS = QualifiedName("users")
TARGET = Target(
    USERS,
    (TargetColumn("id", "bigint", not_null=True), TargetColumn("name", "text")),
    (TargetConstraint("users_pkey", "primary key", "PRIMARY KEY (id)", ("id",)),),
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (RenameColumn(USERS, "name", "full_name"), "rename_users_name_to_full_name"),
        (SetNotNull(USERS, "email", "''"), "set_not_null_users_email"),
        (AddRequiredColumn(USERS, "currency", "text", "'EUR'"), "add_users_currency"),
        (SetNotNull(QualifiedName("users", "app"), "email"), "set_not_null_app_users_email"),
    ],
)
def test_the_name_of_a_change_says_what_it_is(change: Change, expected: str) -> None:
    assert change.id == expected


def test_changes_that_read_alike_have_names_of_their_own() -> None:
    changes = [
        RenameColumn(QualifiedName(table), column, to)
        for table in ("users", "Users", "users " + "x" * 50, "users " + "x" * 51)
        for column in ("name", "na me", "na-me", "größe")
        for to in ("a", "A", "b" * 60, "b" * 61)
    ]
    assert len({change.id for change in changes}) == len(changes)


def test_every_name_made_from_a_change_fits() -> None:
    identifier = RenameColumn(QualifiedName("t" * 63, "s" * 63), "c" * 63, "n" * 63).id
    names = [trigger_name(identifier), function_name(identifier).name, quarantine_name(identifier)]
    assert [name for name in names if len(name.encode()) > MAX_BYTES] == []


def test_a_hash_stands_for_what_would_run() -> None:
    change = RenameColumn(USERS, "name", "full_name")
    plan = make_plan(change, facts_of(TARGET))
    assert make_plan(change, facts_of(replace(TARGET, rows=10**9))).hash == plan.hash
    stricter = replace(TARGET, columns=(TARGET.columns[0], replace(TARGET.columns[1], not_null=True)))
    assert make_plan(change, facts_of(stricter)).hash != plan.hash
