"""Manifests that an attacker has written: no statement comes in that the plan does not have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from support.changes import facts_of

from evolve.errors import EvolveError
from evolve.plan.change import Change
from evolve.plan.gate_sql import gate_block
from evolve.plan.manifest import BadManifest, Manifest, NoSuchChange, load, load_named, new_manifest, save
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.columns.add_required_column import AddRequiredColumn
from evolve.plan.recipes.columns.rename_column import RenameColumn
from evolve.plan.recipes.columns.set_not_null import SetNotNull
from evolve.plan.recipes.constraints.add_check import AddCheck
from evolve.plan.target import Target, TargetColumn, TargetConstraint, TargetIndex
from evolve.plan.wording import conditions
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse, split

USERS = QualifiedName("users")
TARGET = Target(
    USERS,
    (
        TargetColumn("id", "bigint", not_null=True),
        TargetColumn("name", "text", not_null=True, default="'x'::text"),
        TargetColumn("city", "text"),
    ),
    (
        TargetConstraint("pk", "primary key", "PRIMARY KEY (id)", ("id",)),
        TargetConstraint("named", "check", "CHECK ((length(name) > 0))", ("name",)),
    ),
    (TargetIndex("ix_name", "CREATE INDEX ix_name ON public.users USING btree (lower(name))", ("name",)),),
)
CHANGES: dict[str, Change] = {
    "rename-column": RenameColumn(USERS, "name", "full_name"),
    "set-not-null": SetNotNull(USERS, "city", "'Bonn'"),
    "add-required-column": AddRequiredColumn(USERS, "currency", "text", "'EUR'", "'USD'"),
    "add-check": AddCheck(USERS, "length(city) > 1", name="city_is_long"),
}
PAYLOADS = [
    "x'; DROP TABLE victim; --",
    "1); DROP TABLE victim; SELECT (1",
    *(
        pytest.param(text, marks=pytest.mark.long)
        for text in (
            'x"; DROP TABLE victim; --',
            "$$; DROP TABLE victim; $$",
            "$evolve$; DROP TABLE victim; $evolve$",
            "NULL) NOT VALID; DROP TABLE victim; --",
            "x\n; DROP TABLE victim;\n--",
        )
    ),
]


def manifest_of(folder: Path, change: Change) -> Path:
    facts = facts_of(TARGET)
    plan = make_plan(change, facts)
    path = folder / f"{plan.id}.toml"
    save(path, new_manifest(plan, facts, datetime(2026, 1, 2, tzinfo=UTC)).begin("expand", ["abc123"]), plan)
    return path


def edits(value: Any, put: Callable[[Any], None]) -> Iterator[tuple[str, Callable[[str], None]]]:
    """Every text in a document, with what puts another in its place; facts are JSON in a text."""
    if isinstance(value, dict):
        for key in list(value):
            yield from edits(value[key], lambda new, key=key: value.__setitem__(key, new))  # type: ignore[misc]
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from edits(each, lambda new, number=number: value.__setitem__(number, new))  # type: ignore[misc]
    elif isinstance(value, str):
        inner = json.loads(value) if value.startswith(("{", "[")) else None
        if inner is None:
            yield value, put
        else:
            for text, change in edits(inner, lambda _: None):

                def replace(new: str, change: Callable[[str], None] = change) -> None:
                    change(new)
                    put(json.dumps(inner))

                yield text, replace


def statements(manifest: Manifest) -> Iterator[str]:
    """All that it would ever send."""
    plan = manifest.plan
    for phase in plan.phases:
        for part in phase.parts:
            asked = conditions(part)
            if asked:
                yield gate_block(plan.id, asked)
            yield from (statement.sql for statement in (*part.statements, *part.undo))
    for spec in plan.backfills:
        sets = ", ".join(f"x = {each[1]}" for each in spec.assignments)
        yield f"UPDATE t SET {sets} WHERE {spec.where}"


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_of_a_manifest_becomes_a_statement(tmp_path: Path, kind: str, payload: str) -> None:
    path = manifest_of(tmp_path, CHANGES[kind])
    original = path.read_text()
    many = len(list(edits(tomlkit.parse(original).unwrap(), lambda _: None)))
    believed = 0
    for number in range(many):
        for new in (payload, None):
            document = tomlkit.parse(original).unwrap()
            text, put = list(edits(document, lambda _: None))[number]
            put(new if new is not None else f"{text}{payload}")
            path.write_text(tomlkit.dumps(document))
            try:
                sent = list(statements(load(path)))
            except EvolveError:
                continue
            believed += 1
            for sql in sent:
                assert len(split(sql)) == 1, (text, sql)
                assert not any(
                    getattr(each, "table", None) == QualifiedName("victim") for each in parse(sql)
                ), sql
    assert many > 10
    assert believed < many  # what is no more than a word, such as the name of a role, may stand


@pytest.mark.parametrize(
    "name",
    [
        "../secrets",
        "a/b",
        "..",
        "",
        ".",
        "a\x00b",
        "x" * 5000,
        "C:\\x",
        "été",
        "-rf",
        "%2e%2e",
        "a\nb",
        "CON",
    ],
)
def test_no_name_of_a_change_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secrets.toml").write_text("id = 1")
    (tmp_path / "evolve").mkdir()
    with pytest.raises(NoSuchChange):
        load_named(tmp_path, name)


@pytest.mark.parametrize("revision", ["../../x", "/etc/passwd", "a b", "a;b", "a\nb", "", ".", "x" * 300])
def test_no_revision_id_of_a_manifest_leads_out_of_its_folder(tmp_path: Path, revision: str) -> None:
    path = manifest_of(tmp_path, CHANGES["rename-column"])
    path.write_text(path.read_text().replace('["abc123"]', json.dumps([revision])))
    with pytest.raises(BadManifest):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{b = " * 50_000,
        "a" + ".a" * 100_000 + " = 1",
        "a = 1\n" * 2,
        "\x00",
        "a = " + "9" * 100_000,
        'a = "' + "x" * 5_000_000 + '"',
    ],
    ids=["lists", "tables", "dots", "twice", "nul", "number", "text"],
)
def test_what_is_huge_or_odd_is_refused_and_not_a_crash(tmp_path: Path, text: str) -> None:
    path = manifest_of(tmp_path, CHANGES["rename-column"])
    path.write_text(text)
    with pytest.raises(BadManifest):
        load(path)
