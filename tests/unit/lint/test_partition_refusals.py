"""What is said of statements that PostgreSQL refuses or that do other things than they seem to."""

from __future__ import annotations

import pytest
from support.recordings import judge, recording

from evolve.lint.rules import ALL

LOG = "CREATE TABLE log (id bigint NOT NULL, n int NOT NULL) PARTITION BY RANGE (n)"
ONE = "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10)"
COUNTED = "CREATE TABLE counted (id bigserial PRIMARY KEY, n int)"


def found(rule: str, *statements: str, before: tuple[str, ...] = (), version: int = 15) -> list[str]:
    """The messages of `rule` about `statements` after `before`, which is in use."""
    made = recording("before", *before, transaction=7)
    asked = recording("asked", *statements, transaction=8)
    judged = judge(made, asked, rules=ALL, together=False, version=version)
    return [finding.message for finding in judged if finding.revision == "asked" and finding.name == rule]


@pytest.mark.parametrize(
    ("rule", "statements"),
    [
        # A table that nothing is below can be changed alone.
        ("only-the-parent", ("ALTER TABLE ONLY users ADD COLUMN note text",)),
        ("only-the-parent", ("ALTER TABLE ONLY log ALTER COLUMN n SET DEFAULT 1",)),
        (
            "inherited-constraint",
            ("ALTER TABLE log_1 ADD CONSTRAINT own CHECK (n < 9)", "ALTER TABLE log_1 DROP CONSTRAINT own"),
        ),
        ("partition-bound-taken", ("DROP TABLE log_1", ONE)),
        (
            "partition-bound-taken",
            ("ALTER TABLE log DETACH PARTITION log_1", "ALTER TABLE log_1 RENAME TO old", ONE),
        ),
        (
            "partition-bound-taken",
            ("CREATE TABLE IF NOT EXISTS log_1 PARTITION OF log FOR VALUES FROM (0) TO (10)",),
        ),
        # A block may look first.
        ("partition-bound-taken", (f"DO $$ BEGIN {ONE.replace('log_1', 'log_2')}; END $$",)),
        (
            "partition-misfit",
            ("CREATE TABLE log_2 (LIKE log)", "ALTER TABLE log ATTACH PARTITION log_2 DEFAULT"),
        ),
        ("partition-misfit", ("ALTER TABLE unknown ATTACH PARTITION other DEFAULT",)),
        ("unsupported-on-partitioned", ("ALTER TABLE users SET (fillfactor = 80)",)),
        ("sequence-goes-back", ("TRUNCATE counted", "ALTER SEQUENCE counted_id_seq RESTART")),
        ("sequence-goes-back", ("DELETE FROM counted", "SELECT setval('counted_id_seq', 1, false)")),
        ("sequence-goes-back", ("SELECT setval('counted_id_seq', max(id)) FROM counted",)),
        ("sequence-goes-back", ("CREATE SEQUENCE free", "ALTER SEQUENCE free RESTART")),
        (
            "sequence-goes-back",
            ("CREATE TABLE fresh (id serial)", "ALTER SEQUENCE fresh_id_seq RESTART WITH 100"),
        ),
        (
            "detached-before-change",
            ("ALTER TABLE log DETACH PARTITION log_1", "DROP TABLE log_1", "DELETE FROM log WHERE n = 1"),
        ),
        (
            "detached-before-change",
            (
                "ALTER TABLE log DETACH PARTITION log_1",
                "UPDATE log SET id = 1 WHERE n = 1",
                "UPDATE log_1 SET id = 1 WHERE n = 1",
            ),
        ),
    ],
)
def test_nothing_is_said(rule: str, statements: tuple[str, ...]) -> None:
    assert found(rule, *statements, before=(LOG, ONE, COUNTED)) == []


@pytest.mark.parametrize(
    ("rule", "statement", "refused", "taken"),
    [
        (
            "unsupported-on-partitioned",
            "ALTER TABLE log ADD FOREIGN KEY (id) REFERENCES users NOT VALID",
            17,
            18,
        ),
        ("unsupported-on-partitioned", "ALTER TABLE log ADD EXCLUDE USING btree (n WITH =)", 16, 17),
        (
            "unsupported-on-partitioned",
            "ALTER TABLE log ADD COLUMN k bigint GENERATED ALWAYS AS IDENTITY",
            16,
            17,
        ),
        ("unsupported-on-partitioned", "ALTER TABLE log SET UNLOGGED", 18, 17),
        ("only-the-parent", "ALTER TABLE ONLY log ALTER COLUMN n DROP NOT NULL", 17, 18),
        ("inherited-column", "ALTER TABLE log_1 ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY", 17, 16),
    ],
)
def test_a_version_decides(rule: str, statement: str, refused: int, taken: int) -> None:
    said = [len(found(rule, statement, before=(LOG, ONE), version=version)) for version in (refused, taken)]

    assert said == [1, 0]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER SEQUENCE counted_id_seq RESTART",
        "ALTER SEQUENCE counted_id_seq RESTART WITH 1",
        "ALTER TABLE numbered ALTER COLUMN id RESTART",
        "SELECT setval('counted_id_seq'::regclass, 1, false)",
        "SELECT setval(pg_get_serial_sequence('counted', 'id'), 1, false)",
    ],
)
def test_a_sequence_that_begins_anew_is_an_error(statement: str) -> None:
    numbered = "CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY)"

    (message,) = found("sequence-goes-back", statement, before=(COUNTED, numbered))

    assert "starts at its beginning again" in message
