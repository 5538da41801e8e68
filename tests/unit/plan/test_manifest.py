"""Manifests: what is written is read back, comments are kept, and nonsense is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.changes import facts_of

from evolve.plan.change import Change
from evolve.plan.manifest import (
    BadManifest,
    Manifest,
    NoSuchChange,
    load,
    load_all,
    load_named,
    new_manifest,
    save,
)
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.columns.add_required_column import AddRequiredColumn
from evolve.plan.recipes.columns.rename_column import RenameColumn
from evolve.plan.recipes.columns.set_not_null import SetNotNull
from evolve.plan.target import Target, TargetColumn, TargetConstraint
from evolve.sql.names import QualifiedName

CHANGE = "rename_users_name_to_full_name"
NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def target(table: QualifiedName) -> Target:
    return Target(
        table,
        (
            TargetColumn("id", "bigint", not_null=True),
            TargetColumn("name", "text"),
            TargetColumn('we"ird', "text"),
        ),
        (TargetConstraint("pk", "primary key", "PRIMARY KEY (id)", ("id",)),),
    )


def written(folder: Path, change: Change) -> tuple[Path, Manifest]:
    facts = facts_of(target(change.table))
    plan = make_plan(change, facts)
    manifest = new_manifest(plan, facts, NOW).begin("expand", ["abc123"])
    path = folder / f"{plan.id}.toml"
    save(path, manifest, plan)
    return path, manifest


USERS = QualifiedName("users")
RENAME = RenameColumn(USERS, "name", "full_name")


@pytest.mark.parametrize(
    "change",
    [
        RENAME,
        RenameColumn(QualifiedName("Odd.Table", "app"), 'we"ird', "ünï\\code", "new-wins"),
        SetNotNull(USERS, "name"),
        SetNotNull(USERS, "name", "coalesce('\"\\', 'x')"),
        AddRequiredColumn(USERS, "currency", "text", "'EUR'", "'USD'"),
        AddRequiredColumn(USERS, "sho\tuted", "varchar(9)", "upper(name)"),
    ],
    ids=str,
)
def test_what_is_written_is_read_back(tmp_path: Path, change: Change) -> None:
    path, manifest = written(tmp_path, change)
    assert load(path) == manifest


def test_comments_of_people_are_kept(tmp_path: Path) -> None:
    path, manifest = written(tmp_path, RENAME)
    path.write_text(path.read_text().replace("[change]", "# ask Ada before contract\n[change]"))
    save(path, manifest.begin("backfill", []), make_plan(RENAME, facts_of(target(USERS))))
    assert "# ask Ada before contract" in path.read_text()
    assert load(path).current.name == "backfill"


def test_comments_outlive_an_undo_and_an_archive(tmp_path: Path) -> None:
    path, manifest = written(tmp_path, RENAME)
    path.write_text(path.read_text().replace('state = "planned"', 'state = "planned"  # wait for Ada', 1))
    plan = make_plan(RENAME, facts_of(target(USERS)))
    begun = manifest.begin("backfill", []).begin("validate", ["a1", "a2"])
    for step in (begun, begun.back_to("expand", ["b2", "b1"]), replace(begun, archive=True)):
        save(path, step, plan)
        assert "# wait for Ada" in path.read_text()


def test_a_name_of_a_change_is_no_path(tmp_path: Path) -> None:
    written(tmp_path / "evolve", RENAME)
    with pytest.raises(NoSuchChange, match=CHANGE) as refused:
        load_named(tmp_path, f"../evolve/{CHANGE}")
    assert refused.value.fix


def test_all_manifests_come_oldest_first(tmp_path: Path) -> None:
    for change in (RENAME, SetNotNull(USERS, "name")):
        written(tmp_path / "evolve", change)
    assert [manifest.id for manifest in load_all(tmp_path)] == [CHANGE, "set_not_null_users_name"]


MANIFESTS = {
    "not TOML": ('schema = 1\nid = "', "not TOML"),
    "unknown key": (
        'kind = "rename-column"',
        'kind = "rename-column"\ncolour = "red"',
        '"colour" is unknown',
    ),
    "unknown kind": ('kind = "rename-column"', 'kind = "rename-colum"', '"kind" is .rename-colum.'),
    "no schema": ("schema = 1", "", '"schema" is None'),
    "newer schema": ("schema = 1", "schema = 2", '"schema" is 2'),
    "other id": (f'id = "{CHANGE}"', 'id = "mine"', '"id" is .mine.'),
    "other column": ('column = "name"', 'column = "email"', '"id" is'),
    "number for a name": ('to = "full_name"', "to = 7", '"change.to" is 7'),
    "name too long": ('to = "full_name"', f'to = "{"x" * 64}"', '"change.to" is too long'),
    "bad table": ('table = "users"', 'table = "a.b.c"', '"change.table" is'),
    "unknown state": ('state = "begun"', 'state = "beguN"', r'"phase\[1\].state" is'),
    "phase skipped": (
        'name = "validate"\nstate = "planned"',
        'name = "validate"\nstate = "begun"',
        'the phase before it, "backfill", is planned only',
    ),
    "unknown phase": ('name = "backfill"', 'name = "backfil"', r'"phase\[2\].name" is'),
    "phases out of order": ('name = "backfill"', 'name = "contract"', "phases come in the order"),
    "revisions no list": ("revisions = []", 'revisions = "abc"', r'"phase\[2\].revisions" is'),
    "revision no id": ("revisions = []", 'revisions = ["a b"]', r'"phase\[2\].revisions" is'),
    "planned with revisions": ("revisions = []", 'revisions = ["abc"]', r'"phase\[2\].state" is "planned"'),
    "begun without revisions": (
        'revisions = ["abc123"]',
        "revisions = []",
        r'"phase\[1\].revisions" is empty',
    ),
    "facts gone": ("[facts]", "[fact]", '"fact" is unknown'),
    "facts of another table": (
        '"table users"',
        '"table person"',
        r'"facts" do not fit the change: .*"table users"',
    ),
    "unknown fact": ('"table users"', '"colour users"', '"facts" "colour users" is unknown'),
    "a fact that is no JSON": ('{\\"table', '\\"table', '"facts" "table users" cannot be believed'),
    "a fact that is SQL of another kind": (
        "PRIMARY KEY (id)",
        "PRIMARY KEY (id); DROP TABLE users",
        '"facts" "table users" cannot be believed',
    ),
    "a fact of another type": ('\\"not_null\\": true', '\\"not_null\\": 1', "cannot be believed"),
    "change gone": ("[change]", "[chance]", '"chance" is unknown'),
    "date gone": ("created = ", 'created = "" # ', '"created" is'),
}


@pytest.mark.parametrize("case", list(MANIFESTS))
def test_nonsense_is_named(tmp_path: Path, case: str) -> None:
    *edit, words = MANIFESTS[case]
    path, _ = written(tmp_path, RENAME)
    text = path.read_text()
    if len(edit) == 2:
        assert edit[0] in text
        path.write_text(text.replace(edit[0], edit[1], 1))
    else:
        path.write_text(edit[0])
    with pytest.raises(BadManifest, match=words) as refused:
        load(path)
    assert str(path) in refused.value.what
    assert refused.value.fix
