"""Findings of files of plain SQL in the words of whoever runs those: rules are written for revisions of Alembic."""

from __future__ import annotations

import re
from dataclasses import replace

from evolve.lint.model import Finding

# What is true of Alembic alone, and what stands in its place; the longest first where one holds another.
_WORDS: tuple[tuple[str, str], ...] = (
    (
        "and Alembic opens one around every revision; autocommit_block() steps out of it",
        "so it has to stand outside",
    ),
    (
        "add the value in an earlier revision, or in an autocommit block",
        "add the value in an earlier transaction",
    ),
    (
        "; autogenerate does not see that and writes a revision that fails in every environment",
        "; else it fails",
    ),
    (
        "op.drop_constraint needs a name: the downgrade that Alembic writes for an unnamed one raises, and a later "
        "revision must guess what PostgreSQL called it",
        "whoever drops the constraint later must guess what PostgreSQL called it",
    ),
    (
        "a statement in autocommit mode commits what stands before it, and its own work is never taken back: when the "
        "revision fails half way, Alembic counts it as not applied, and the next",
        "what stands before it is committed by then, and its own work is never taken back: when the script fails half "
        "way, the next",
    ),
    (
        "Alembic opens and commits the transactions itself: PostgreSQL has none within another, and what is undone or "
        "left open by hand is recorded as applied all the same",
        "PostgreSQL has no transaction within another: a second BEGIN opens none, and COMMIT or ROLLBACK ends the one "
        "that whoever runs the script has opened",
    ),
    (
        "unless env.py says otherwise, Alembic puts all pending revisions into one transaction: every lock",
        "scripts that share a transaction share its end: every lock",
    ),
    (
        "pass transaction_per_migration=True to context.configure() in env.py, or run evolve upgrade",
        "commit after each script",
    ),
    (
        "op.create_table() creates the enum types of its columns, also those that an earlier revision has made",
        "PostgreSQL has no CREATE TYPE IF NOT EXISTS, and refuses a second type of a name",
    ),
    (", as an upgrade after a downgrade does,", ""),
    (", and alembic_version is such a name", ""),
    ("for what Alembic does after this revision", "for whatever the session runs next"),
    ("schema=…, or set the path in env.py", "or set the path with SET LOCAL"),
    ("a downgrade brings the column back empty", "made again, the column is empty"),
    ("a downgrade brings the table back empty", "made again, the table is empty"),
    ("nor after a downgrade", "nor once it has it again"),
    (
        "set it in env.py for all revisions, or run them with evolve upgrade",
        "set it at the head of the script",
    ),
    ("ROLLBACK ends Alembic's transaction", "ROLLBACK ends the transaction of whoever runs the script"),
    (
        "COMMIT ends Alembic's transaction behind its back",
        "COMMIT ends the transaction of whoever runs the script",
    ),
    (
        "leave it out; op.get_context().autocommit_block() runs statements without a transaction",
        "leave it out",
    ),
    ("in an autocommit block", "outside a transaction"),
    ("which op.drop_index() drops", "which DROP INDEX drops"),
    ('op.create_table(…, comment="…")', "COMMENT ON TABLE … IS '…'"),
    ("op.create_table()", "CREATE TABLE"),
    (
        "with op.batch_alter_table(…) there is one statement for each clause; write it as SQL",
        "write one ALTER TABLE",
    ),
    ("write its statements with op.execute, or review it", "write its statements without DO, or review it"),
)
_EXECUTED = re.compile(r'op\.execute\("((?:[^"\\]|\\.)*)"\)')


def in_plain_sql(finding: Finding) -> Finding:
    """The finding without a word of Alembic; its safe form is left as it is."""
    return replace(
        finding,
        message=_said(finding.message),
        why=_said(finding.why),
        fix=_said(finding.fix) if finding.fix is not None else None,
    )


def _said(text: str) -> str:
    for alembic, plain in _WORDS:
        text = text.replace(alembic, plain)
    text = _EXECUTED.sub(lambda found: found[1].replace('\\"', '"'), text)
    return re.sub(r"\brevision(s?)\b", r"script\1", text)
