"""The walk of a verification: it adds windows up, and looks once more where a standby ended a look."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure
from evolve.backfill.verify import TRIES, Verdict, Verification, Window


@dataclass
class Table:
    """Ten rows, each a miss, with checksums that go beyond eight bytes together.

    Args:
        failures: SQLSTATE of each look that fails, the first ones.
        sizes: rows asked for.
    """

    failures: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def begin(self) -> str:
        return "now"

    def columns(self) -> tuple[str, ...]:
        return ("a", "b")

    def look(self, after: Key | None, rows: int, sample: int) -> Window:
        self.sizes.append(rows)
        if self.failures:
            raise DatabaseFailure("ended", sqlstate=self.failures.pop(0), lost=False)
        last = after is not None
        return Window(None if last else ("5",), 5, 5, (("1",),)[:sample], (5, 0), 2**63)


def verified(table: Table) -> Verdict:
    return Verification(table, "true", lambda: 0.0, lambda _: None).run()


def test_windows_add_up() -> None:
    verdict = verified(Table())
    assert (verdict.rows, verdict.misses, verdict.nulls) == (10, 10, (("a", 10), ("b", 0)))
    assert verdict.checksum == "0" * 16


def test_a_look_that_a_standby_ended_is_taken_again_with_fewer_rows() -> None:
    table = Table(failures=["40001", "57014"])
    assert verified(table).rows == 10
    assert table.sizes[0] > table.sizes[1] > table.sizes[2]


@pytest.mark.parametrize(("sqlstate", "looks"), [("40001", TRIES), ("42P01", 1)])
def test_it_does_not_try_for_ever(sqlstate: str, looks: int) -> None:
    table = Table(failures=[sqlstate] * 20)
    with pytest.raises(DatabaseFailure):
        verified(table)
    assert len(table.sizes) == looks
