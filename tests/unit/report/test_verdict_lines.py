"""What a verdict claims in words, where not all was read."""

from __future__ import annotations

import pytest

from evolve.lint.verdict import Compatibility, judge
from evolve.report.verdict import lines


@pytest.mark.parametrize(
    ("complete", "order"), [(True, "  any order"), (False, "  any order, as far as it was read")]
)
def test_any_order_is_promised_of_what_was_read(complete: bool, order: str) -> None:
    nothing = judge(["0006"], [], [])

    told = list(lines(Compatibility(nothing, (nothing,), complete=complete), verbose=False))

    assert told[1] == order
