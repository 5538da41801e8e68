"""What a statement does goes by the session's time zone, and by what the same statement drops: every rule knows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.facts import TAKEN, facts, relation
from support.recordings import SHOP, recording

from evolve.lint.engine import check
from evolve.lint.model import Finding
from evolve.lint.rules import ALL

CHECKED = "ALTER TABLE orders ADD CONSTRAINT email_set CHECK (email IS NOT NULL)"
TO_ZONE = "ALTER TABLE orders ALTER placed TYPE timestamptz"
LARGE = facts(relation("orders", rows=10_000_000, heap=40_000_000_000), since=TAKEN - timedelta(hours=1))


def found(name: str, *statements: str) -> list[Finding]:
    base = recording("shop", SHOP, CHECKED, transaction=0)
    result = check([base, recording("r", *statements)], ALL, judged={"r"}, postgres_version=15, facts=LARGE)
    return [finding for finding in result.findings if finding.name == name]


@pytest.mark.parametrize("name", ["disk-headroom", "replication-lag"])
def test_no_row_is_written_where_the_zone_is_utc(name: str) -> None:
    assert not found(name, "SET LOCAL timezone = 'UTC'", TO_ZONE)
    assert found(name, "SET LOCAL timezone = 'Europe/Oslo'", TO_ZONE)


@pytest.mark.parametrize(
    ("statements", "rewrite", "scan"),
    [
        (("SET LOCAL timezone = 'UTC'", TO_ZONE), False, False),
        (("SET LOCAL timezone = 'Europe/Oslo'", TO_ZONE), True, True),
        (("ALTER TABLE orders ALTER email SET NOT NULL",), False, False),
        (("ALTER TABLE orders ALTER email SET NOT NULL, DROP CONSTRAINT email_set",), False, True),
    ],
)
def test_the_lock_that_standbys_replay(statements: tuple[str, ...], rewrite: bool, scan: bool) -> None:
    (finding,) = found("replica-conflict", *statements)

    assert (finding.rewrite, finding.scan) == (rewrite, scan)
