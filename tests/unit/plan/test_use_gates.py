"""Gates before whatever takes something away, and how a revision names what goes."""

from __future__ import annotations

import pytest

from evolve.plan.change import Change, Place
from evolve.plan.gate_sql import parse_place, place_text
from evolve.plan.gates import NoReason, Override, override_of
from evolve.plan.model import NotMapped, NotUsed, Part, Phase, Plan, Validated, ValidIndex, Word
from evolve.plan.use_gates import with_use_gates
from evolve.sql.names import QualifiedName
from evolve.sql.statements import Statement

USERS = QualifiedName("users")


def part(*statements: str) -> Part:
    return Part("", tuple(Statement(each, None, "") for each in statements))


def test_a_phase_that_takes_something_away_is_guarded_and_so_is_its_first_revision() -> None:
    expand = Phase("expand", "", (part("ALTER TABLE users ADD COLUMN full_name text"),))
    contract = Phase("contract", "", (part("SELECT 1"), part("ALTER TABLE users DROP COLUMN name")))
    plan = with_use_gates(Plan("x", Change(USERS), (expand, contract)))
    gate = NotMapped("contract", ((USERS, "name"),))
    assert plan.phases[0] == expand
    assert plan.phases[1].gates == (gate,)
    assert [each.conditions for each in plan.phases[1].parts] == [(gate, NotUsed(gate.places)), ()]


def test_what_was_valid_at_switch_is_asked_again_before_contract() -> None:
    proofs = (Validated(USERS, "c"), ValidIndex(QualifiedName("i")))
    switch = Phase("switch", "", gates=(*proofs, Word("x", "")))
    contract = Phase("contract", "", (part("ALTER TABLE users DROP COLUMN name"),))
    plan = with_use_gates(Plan("x", Change(USERS), (switch, contract)))
    assert plan.phases[1].gates[:2] == plan.phases[1].parts[0].conditions[:2] == proofs


@pytest.mark.parametrize(
    "place",
    [
        (USERS, "name"),
        (USERS, None),
        (QualifiedName('A "b"', "c.d"), 'e.f"g'),
        (QualifiedName("*", "stock"), None),
        (QualifiedName("stock"), "*"),
    ],
)
def test_a_revision_names_places_so_that_they_can_be_read_again(place: Place) -> None:
    assert parse_place(place_text(place)) == place


def test_a_reason_is_one_line_wherever_it_is_shown() -> None:
    override = override_of(["sessions"], " a report\n2026-01-01  contract begun ")
    assert override == Override(frozenset({"sessions"}), "a report 2026-01-01 contract begun")


@pytest.mark.parametrize(
    ("names", "because"), [(["sessions"], " \n"), ([], "in a hurry"), (["sessions"], None)]
)
def test_no_override_without_a_reason_nor_a_reason_without_one(names: list[str], because: str | None) -> None:
    with pytest.raises(NoReason):
        override_of(names, because)
