"""Recordings written down by hand: SQL in, as a revision would have sent it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from evolve.lint.engine import check
from evolve.lint.model import Finding
from evolve.lint.rule import Rule
from evolve.lint.rules import DEFAULT
from evolve.sql.steps import CapturedStatement, Mark, Place, Recording, Remark

SHOP = """
    CREATE TYPE status AS ENUM ('new', 'paid');
    CREATE DOMAIN percent AS integer CHECK (VALUE BETWEEN 0 AND 100);
    CREATE TABLE users (id bigint PRIMARY KEY, name varchar(50), email varchar(50) NOT NULL);
    CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, email text, note text,
        total numeric(10,2) NOT NULL, placed timestamp, status status NOT NULL DEFAULT 'new');
    CREATE INDEX by_user_and_status ON orders (user_id, status);
    CREATE TABLE people (id bigint PRIMARY KEY, name text, email varchar(50) CHECK (email <> ''), nick varchar(40));
    CREATE INDEX by_name ON people (name);
    CREATE INDEX by_nick ON people (lower(nick));
    CREATE TABLE events (id bigint, year integer NOT NULL) PARTITION BY LIST (year);
    CREATE TABLE events_2026 PARTITION OF events FOR VALUES IN (2026);
"""


def recording(
    revision: str,
    *statements: str,
    transaction: int | None = 1,
    remarks: tuple[tuple[Mark, int], ...] = (),
    metadata: dict[str, str] | None = None,
) -> Recording:
    """A revision whose statements stand on lines 1, 2, …; one that begins with "autocommit:" has no transaction."""
    file = Path(f"{revision}.py")
    captured = []
    for line, sql in zip(count(1), statements, strict=False):
        alone = sql.startswith("autocommit:")
        text = sql.removeprefix("autocommit:").strip()
        captured.append(CapturedStatement(text, Place(file, line), None if alone else transaction))
    return Recording(
        revision,
        (),
        file,
        tuple(captured),
        tuple(Remark(mark, Place(file, line), "particulars") for mark, line in remarks),
        tuple((metadata or {}).items()),
    )


def judge(
    *recordings: Recording, rules: tuple[Rule, ...] = DEFAULT, together: bool = True, version: int = 15
) -> list[Finding]:
    """What is found in `recordings` on top of the shop, whose tables are in use."""
    shop = recording("shop", SHOP, transaction=0)
    judged = {each.revision for each in recordings}
    result = check([shop, *recordings], rules, judged=judged, together=together, postgres_version=version)
    return list(result.findings)


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]
