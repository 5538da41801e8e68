"""Steps are found by table as a search through all of them would find them."""

from __future__ import annotations

from pathlib import Path

from evolve.lint.steps_taken import StepsTaken
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.sql.steps import CapturedStatement, Place, Step

T = QualifiedName("t")


def steps(*texts: str) -> list[Step]:
    statements = [CapturedStatement(text, Place(Path("r.py"), 1), 1) for text in texts]
    return [Step(parse(each.sql)[0], each, "r") for each in statements]


def test_places_of_one_kind_and_table() -> None:
    taken = StepsTaken()
    taken += steps("DROP TABLE t", "DROP TABLE u", "CREATE TABLE t ()", "DROP TABLE t")
    assert list(taken.places(op.DropTable, T)) == [0, 3]


def test_what_comes_later_is_found() -> None:
    taken = StepsTaken()
    taken += steps("DROP TABLE t")
    taken.places(op.DropTable, T)
    taken.append(steps("DROP TABLE t")[0])
    assert list(taken.places(op.DropTable, T)) == [0, 1]


def test_what_was_cut_is_forgotten() -> None:
    taken = StepsTaken()
    taken += steps("DROP TABLE t", "DROP TABLE t")
    taken.places(op.DropTable, T)
    taken.cut(1)
    taken += steps("DROP TABLE u", "DROP TABLE u")
    assert list(taken.places(op.DropTable, T)) == [0]
