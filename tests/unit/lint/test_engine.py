"""What the engine makes of revisions: order, marks, gates, coverage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
from support.recordings import judge, names, recording

from evolve.lint.engine import check
from evolve.lint.history import History
from evolve.lint.model import Coverage, Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules import ALL, DEFAULT
from evolve.sql.steps import Mark, Step

DROP = "ALTER TABLE users DROP COLUMN name"
GATE = "DO $$\n-- evolve: gate\nBEGIN END $$"
CONTRACT = {"change": "2026-06-rename-name", "phase": "contract"}


GAPS = (
    Mark.RAISED,
    Mark.TIMED_OUT,
    Mark.NOT_LOADED,
    Mark.READ_ROWS,
    Mark.READ_CATALOG,
    Mark.TOUCHED_STUB,
    Mark.UNKNOWN_OPERATION,
    Mark.UNREACHED,
)


# Of a default that only Python knows nothing is said but at the column's own statement.
@pytest.mark.parametrize("mark", sorted(set(Mark) - {Mark.CLIENT_DEFAULT}, key=str))
def test_every_mark_is_a_finding(mark: Mark) -> None:
    found = judge(recording("r", remarks=((mark, 7),)), rules=ALL)

    assert {each.place.line for each in found} == {7}


@pytest.mark.parametrize("mark", [Mark.READ_ROWS, Mark.READ_CATALOG])
def test_questions_to_the_database_are_told_of_once(mark: Mark) -> None:
    [found] = judge(recording("r", remarks=((mark, 7), (mark, 8), (mark, 8))))

    assert (found.place.line, found.message.endswith("2 times more")) == (7, True)


@pytest.mark.parametrize("mark", GAPS)
def test_what_was_not_read_is_a_finding_by_default(mark: Mark) -> None:
    [found] = judge(recording("r", remarks=((mark, 7),)))

    assert found.rule.startswith("EV9")


def test_operations_behind_the_end_of_the_reading_are_told_of_once() -> None:
    found = judge(
        recording(
            "r", remarks=((Mark.RAISED, 7), (Mark.UNREACHED, 6), (Mark.UNREACHED, 7), (Mark.UNREACHED, 9))
        )
    )

    assert [(each.name, each.place.line) for each in found] == [
        ("unreached-operation", 6),
        ("revision-raised", 7),
    ]


def test_contract_behind_its_gate_is_answered() -> None:
    assert judge(recording("r", GATE, DROP, metadata=CONTRACT)) == []


@pytest.mark.parametrize(
    ("statements", "metadata"),
    [
        ((DROP,), CONTRACT),
        ((DROP, GATE), CONTRACT),
        ((GATE, DROP), {}),
        ((GATE, DROP), {"phase": "expand"}),
        (("DO $$ BEGIN END $$", DROP), CONTRACT),
    ],
)
def test_contract_without_its_gate_is_not(statements: tuple[str, ...], metadata: dict[str, str]) -> None:
    assert "drop-column" in names(judge(recording("r", *statements, metadata=metadata)))


def test_gate_answers_for_the_contract_and_for_nothing_else() -> None:
    found = judge(recording("r", GATE, DROP, "CREATE INDEX i ON orders (email)", metadata=CONTRACT))

    assert names(found) == ["create-index-blocking"]


def test_findings_come_in_the_order_of_revisions_and_lines() -> None:
    found = judge(
        recording("b", "DROP TABLE orders", "ALTER TABLE users DROP COLUMN name"),
        recording("a", "ALTER TABLE users DROP COLUMN email", transaction=2),
    )

    places = dict.fromkeys((each.revision, each.place.line) for each in found)
    assert list(places) == [("b", 1), ("b", 2), ("a", 1)]


def test_revisions_that_are_not_judged_are_in_use() -> None:
    recordings = [recording("r", "CREATE TABLE t (c integer)"), recording("s", "DROP TABLE t", transaction=2)]

    result = check(recordings, DEFAULT, judged={"s"})

    assert [each.name for each in result.findings] == ["drop-table"]


def test_coverage_counts_what_was_judged() -> None:
    result = check(
        [
            recording("old", "CREATE TABLE t (c integer)"),
            recording("r", "SELECT 1", "DO LANGUAGE plperl $$ x $$", "no sql at all"),
            recording(
                "s", "SELECT 1", remarks=((Mark.READ_ROWS, 1), (Mark.READ_CATALOG, 1), (Mark.RAISED, 1))
            ),
        ],
        ALL,
        judged={"r", "s"},
    )

    assert result.coverage == Coverage(revisions=2, statements=4, read=2, data_dependent=1, incomplete=1)


def test_what_a_loop_repeats_word_for_word_is_told_of_once() -> None:
    once = recording("r", "UPDATE orders SET total = 1")
    [statement] = once.statements

    found = judge(
        replace(once, statements=(statement, replace(statement, sql="UPDATE orders SET total = 2")))
    )

    assert names(found) == ["update-without-where"]


def test_rule_that_raises_is_a_bug_and_shows() -> None:
    class Broken(Rule):
        id: ClassVar[str] = "ACME1"
        name: ClassVar[str] = "broken"
        severity: ClassVar[Severity] = Severity.INFO
        why: ClassVar[str] = "it is"

        def check(self, step: Step, history: History) -> Iterator[Finding]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check([recording("r", "SELECT 1")], (Broken(),))


def test_names_and_ids_of_rules_are_unique() -> None:
    words = [word for rule in ALL for word in (rule.id, rule.name)]

    assert len(words) == len(set(words))


def test_rules_stand_in_the_order_of_their_ids() -> None:
    assert [rule.id for rule in ALL] == sorted(rule.id for rule in ALL)
