"""What a specification holds, however it is said: in Python, on a command line, or in the journal's JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.app.declared_backfills import NotDeclared, OneNameTwice, declared_at, declared_in
from evolve.app.wanted_backfill import (
    NeedsOther,
    NoExpression,
    NoSuchBackfill,
    NotTogether,
    NotWithSpec,
    OneExpression,
    Wanted,
    chosen_backfill,
)
from evolve.backfill.functions import CannotImport
from evolve.backfill.record import differences
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.verify import misses_predicate
from evolve.backfill.works import UPDATE, Conflict, Delete, InsertSelect, JoinedUpdate, Work
from evolve.backfills import Backfill, BadBackfill, backfill, parse_source
from evolve.errors import Misuse
from evolve.sql.names import BadName, QualifiedName

USERS = QualifiedName("users")
ADDRESSES = QualifiedName("addresses", "app")
PLAIN = Spec("fill", USERS, (("full", "first || last"),), "full IS NULL", ("id",))
JOIN = JoinedUpdate(ADDRESSES, "a", "a.user_id = users.id")
KINDS: tuple[Work, ...] = (
    UPDATE,
    JOIN,
    replace(JOIN, lock=True),
    InsertSelect(ADDRESSES),
    InsertSelect(ADDRESSES, Conflict.NOTHING, lock=False),
    Delete(),
    Transform("shop:f", ("a", "b"), ("c",), Mode.LOCKED, rate=2.5),
)


@pytest.mark.parametrize("work", KINDS, ids=lambda work: type(work).__name__)
def test_a_specification_comes_back_from_its_json(work: Work) -> None:
    spec = replace(PLAIN, work=work)
    assert Spec.from_json(spec.to_json()) == spec


def test_a_plain_update_is_written_as_it_always_was() -> None:
    # Runs of before kinds of work were told apart must be gone on with.
    app = replace(PLAIN, table=QualifiedName("users", "app"))
    assert '"work"' not in app.to_json()
    assert app.fingerprint == "9b369f60a853c9b2"


def test_no_two_kinds_have_one_fingerprint() -> None:
    assert len({replace(PLAIN, work=work).fingerprint for work in KINDS}) == len(KINDS)


def test_a_difference_is_told_field_by_field() -> None:
    new = replace(PLAIN, work=replace(JOIN, lock=True), where=None)
    assert differences(replace(PLAIN, work=JOIN), new) == ["lock: False → True", "where: full IS NULL → None"]


@pytest.mark.parametrize(
    ("spec", "predicate"),
    [
        (
            Spec("x", USERS, (("city", "a.city"),), work=JOIN),
            "EXISTS (SELECT FROM app.addresses AS a WHERE (a.user_id = users.id)"
            " AND ((public.users.city IS DISTINCT FROM (a.city))))",
        ),
        (Spec("x", USERS, (("city", "users.city || a.city"),), work=JOIN), None),
        (
            Spec("x", USERS, (("id", '"id"'), ("n", "1")), "n > 1", work=InsertSelect(ADDRESSES)),
            "(n > 1) AND NOT EXISTS (SELECT FROM app.addresses AS copied WHERE copied.id = public.users.id)",
        ),
        (Spec("x", USERS, (("n", "id + 1"),), work=InsertSelect(ADDRESSES)), None),
        (Spec("x", USERS, where="n > 1", work=Delete()), "(n > 1)"),
    ],
)
def test_what_a_miss_is(spec: Spec, predicate: str | None) -> None:
    assert misses_predicate(spec, ("id",)) == predicate


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (Backfill(table="users", set={"n": "1"}), Spec("it", USERS, (("n", "1"),))),
        (
            Backfill(table="Users", set={"n": "1"}, where="w", key=["a", "b"], mismatch="m", name="mine"),
            Spec("mine", USERS, (("n", "1"),), "w", ("a", "b"), "m"),
        ),
        (
            Backfill(table="users", set={"n": "a.n"}, source="app.addresses AS a", join=JOIN.on),
            Spec("it", USERS, (("n", "a.n"),), work=JOIN),
        ),
        (
            Backfill(table="users", into="app.addresses", columns=["id", "User"], set={"n": "1"}),
            Spec("it", USERS, (("id", "id"), ("User", '"User"'), ("n", "1")), work=InsertSelect(ADDRESSES)),
        ),
        (Backfill(table="users", delete=True, where="w"), Spec("it", USERS, where="w", work=Delete())),
    ],
)
def test_a_declaration_says_what_a_specification_holds(declared: Backfill, expected: Spec) -> None:
    assert declared.spec("it") == expected


def test_a_function_is_found_where_it_is_declared() -> None:
    @backfill(table="users", reads=["a"], writes=["b"], mode="locked")
    def compute(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return rows

    work = compute.spec("it", "shop.backfills:compute").work
    assert work == Transform("shop.backfills:compute", ("a",), ("b",), Mode.LOCKED)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (Backfill(table="users"), "nothing about what it does"),
        (Backfill(table="users", set={"n": "1"}, delete=True), "set beside delete"),
        (Backfill(table="users", source="a", set={"n": "1"}), "without a join"),
        (Backfill(table="users", join="true", set={"n": "1"}), "join beside set"),
        (Backfill(table="users", source="a", join="true"), "sets nothing"),
        (Backfill(table="users", into="b"), "no column to copy"),
        (Backfill(table="users", into="b", columns=["a"], set={"a": "1"}), "a value twice"),
        (Backfill(table="users", set={"n": "1"}, on_conflict="nothing"), "on_conflict beside set"),
        (Backfill(table="users", set={"n": "1"}, lock_source=True), "lock_source beside set"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(declared: Backfill, says: str) -> None:
    with pytest.raises(BadBackfill, match=says):
        declared.spec("it")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("addresses", (QualifiedName("addresses"), "addresses")),
        (" App.addresses  A ", (ADDRESSES, "a")),
        ("app.addresses as a", (ADDRESSES, "a")),
        ('"Odd name" "An alias"', (QualifiedName("Odd name"), "An alias")),
    ],
)
def test_a_table_and_its_name_are_read(text: str, source: tuple[QualifiedName, str]) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize("text", ["", "a b c", "a, b", "(SELECT 1) a", "a b.c"])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        parse_source(text)


# the command line


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted("users.n", ("1",), name="mine"), Spec("mine", USERS, (("n", "1"),))),
        (
            Wanted("users.n", ("a.n",), source="app.addresses a", join=JOIN.on, lock_source=True),
            Spec("users.n", USERS, (("n", "a.n"),), work=replace(JOIN, lock=True)),
        ),
        (
            Wanted("users", ('"Total" = price = 1',), key="a, b", into="app.addresses", columns="id,n"),
            Spec(
                "users-into-app.addresses",
                USERS,
                (("id", "id"), ("n", "n"), ("Total", "price = 1")),
                key=("a", "b"),
                work=InsertSelect(ADDRESSES),
            ),
        ),
        (
            Wanted("users", where="n = 1", delete=True),
            Spec("users-delete", USERS, where="n = 1", work=Delete()),
        ),
    ],
)
def test_options_say_what_a_specification_holds(wanted: Wanted, expected: Spec) -> None:
    assert chosen_backfill(wanted, Path()).spec == expected


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (Wanted("users.n"), NoExpression),
        (Wanted("users.n", ("1", "2")), OneExpression),
        (Wanted("users.n", ("1",), join="true"), NeedsOther),
        (Wanted("users.n", ("1",), source="a"), NeedsOther),
        (Wanted("users.n", source="a", join="true"), NoExpression),
        (Wanted("users.n", ("1",), delete=True), NotTogether),
        (Wanted("users.n", ("1",), columns="a"), NotTogether),
        (Wanted("users.n", ("1",), on_conflict="nothing"), NotTogether),
        (Wanted("users.n", ("1",), lock_source=False), NotTogether),
        (Wanted("users", into="b"), NeedsOther),
        (Wanted("users", ("1",), into="b"), BadName),
        (Wanted("users", into="b", columns="a", delete=True), NotTogether),
        (Wanted("users.n.a.b", into="b", columns="a"), BadName),
        (Wanted("a_change", where="true"), NotWithSpec),
        (Wanted("shop:x", key="id"), NotWithSpec),
    ],
)
def test_options_that_do_not_go_together_are_refused(wanted: Wanted, error: type[Misuse]) -> None:
    with pytest.raises(error):
        chosen_backfill(wanted, Path())


# modules


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "shop_fills.py").write_text(
        "from evolve.backfills import Backfill\n"
        "names = Backfill(table='users', set={'n': '1'}, name='users.n')\n"
        "purge = Backfill(table='users', delete=True, where='n = 1', after=['users.n'])\n"
        "other = 1\n"
    )
    (tmp_path / "shop_again.py").write_text("from shop_fills import names\n")
    (tmp_path / "shop_twice.py").write_text(
        "from evolve.backfills import Backfill\npurge = Backfill(table='users', delete=True)\n"
    )
    (tmp_path / "shop_broken.py").write_text("1 / 0\n")
    (tmp_path / "shop_leaves.py").write_text("raise SystemExit(0)\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("shop_"):
            del sys.modules[name]


def test_modules_declare_backfills(shop: Path) -> None:
    found = declared_in(["shop_fills", "shop_again"], shop)
    assert [(each.place, each.spec.name, each.after) for each in found] == [
        ("shop_fills:names", "users.n", ()),
        ("shop_fills:purge", "purge", ("users.n",)),
    ]


@pytest.mark.parametrize("target", ["purge", "shop_fills:purge"])
def test_a_declared_backfill_is_chosen(shop: Path, target: str) -> None:
    chosen = chosen_backfill(Wanted(target), shop, modules=["shop_fills"])
    assert (chosen.spec.work, chosen.after) == (Delete(), ("users.n",))


def test_a_name_with_a_dot_may_be_declared(shop: Path) -> None:
    assert chosen_backfill(Wanted("users.n"), shop, modules=["shop_fills"]).spec.work == UPDATE


def test_what_nobody_declares_is_told_with_what_is(shop: Path) -> None:
    with pytest.raises(NoSuchBackfill, match=r"declared are users\.n, purge"):
        chosen_backfill(Wanted("nothing_like_it"), shop, modules=["shop_fills"])


@pytest.mark.parametrize(
    ("place", "error", "says"),
    [
        ("shop_fills:other", NotDeclared, "is no backfill"),
        ("shop_fills:nothing", CannotImport, "no attribute 'nothing'"),
        ("shop_fills:", CannotImport, "cannot be imported"),
        ("shop_gone:x", CannotImport, "No module named 'shop_gone'"),
        ("shop_broken:x", CannotImport, "ZeroDivisionError"),
        ("shop_leaves:x", CannotImport, "SystemExit"),
    ],
)
def test_what_cannot_be_imported_is_told(shop: Path, place: str, error: type[Misuse], says: str) -> None:
    with pytest.raises(error, match=says):
        declared_at(place, shop)


def test_two_of_one_name_are_refused(shop: Path) -> None:
    with pytest.raises(OneNameTwice, match="shop_fills:purge and shop_twice:purge"):
        declared_in(["shop_fills", "shop_twice"], shop)
