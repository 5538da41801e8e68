"""Holds what findings claim of locks, rewrites, scans and failures against a server that runs the statements."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from itertools import groupby

import psycopg

from evolve.lint.model import Finding
from evolve.postgres.connect import Connection
from evolve.postgres.measure import Measured, measure
from evolve.sql.operations import Truncate
from evolve.sql.parse import parse
from evolve.sql.steps import CapturedStatement, Recording


def wrong_claims(
    connection: Connection,
    recordings: Sequence[Recording],
    findings: Sequence[Finding],
    applied: Collection[str] = (),
) -> Iterator[str]:
    """Run every statement as Alembic would, and say where what a finding claims is not what happens.

    Stops behind the first statement that is claimed to fail and does. A statement that fails unannounced raises.

    Args:
        connection: in autocommit mode, on a database that holds nothing but what the recordings make.
        recordings: in order, those that findings are not about among them.
        findings: those whose claims are checked.
        applied: ids of revisions that were applied before the others, whose transactions are not theirs.
    """
    sent = [(recording.revision, statement) for recording in recordings for statement in recording.statements]
    # Several revisions may share a transaction.
    for (transaction, _), group in groupby(sent, key=lambda one: (one[1].transaction, one[0] in applied)):
        together = list(group)
        for unit in [together] if transaction is not None else [[one] for one in together]:
            failing = yield from _check_unit(connection, unit, findings)
            if failing:
                return
            run(connection, [statement for _, statement in unit])


def run(connection: Connection, statements: Sequence[CapturedStatement]) -> None:
    """One transaction; a statement alone runs without one where it has none."""
    if statements[0].transaction is None:
        connection.execute(statements[0].sql.encode())
        return
    with connection.transaction():
        for statement in statements:
            connection.execute(statement.sql.encode())


def _check_unit(
    connection: Connection,
    unit: Sequence[tuple[str, CapturedStatement]],
    findings: Sequence[Finding],
) -> Generator[str, None, bool]:
    """Yields what is wrong; returns True where a statement fails as claimed.

    Args:
        unit: the statements of one transaction, each with the id of its revision.
    """
    for number, (revision, statement) in enumerate(unit, 1):
        for finding in findings:
            if not _is_about(finding, revision, statement) or not (finding.lock or finding.fails):
                continue
            # With all that went before it in the transaction: a lock that is kept counts.
            measured = measure(connection, ";\n".join(each.sql for _, each in unit[:number]))
            if statement.transaction is None and _needs_none(measured):
                # Measuring is done in a transaction, and this one refuses to run in any.
                if not finding.fails:
                    continue
                measured = _run_alone(connection, statement)
            yield from _compare(finding, measured)
            if measured.error is not None:
                return True
    return False


def _needs_none(measured: Measured) -> bool:
    return measured.error is not None and "cannot run inside a transaction block" in measured.error


def _run_alone(connection: Connection, statement: CapturedStatement) -> Measured:
    try:
        run(connection, [statement])
    except psycopg.Error as error:
        return Measured({}, error=error.diag.message_primary or str(error))
    return Measured({})


def _is_about(finding: Finding, revision: str, statement: CapturedStatement) -> bool:
    same = finding.place == statement.place and finding.sql == statement.sql
    return same and finding.revision == revision


def _compare(finding: Finding, measured: Measured) -> Iterator[str]:
    name = f"{finding.rule} {finding.name}"
    if finding.fails or measured.error is not None:
        if not (finding.fails and measured.error is not None):
            yield f"{name}: claims fails={finding.fails}; the server said: {measured.error or 'nothing'}"
        return
    if finding.lock is None:
        return
    relation = finding.lock.relation
    taken = measured.locks.get(relation)
    if taken is not finding.lock.mode:
        yield f"{name}: claims {finding.lock.mode} on {relation}; taken: {taken}"
    if any(isinstance(operation, Truncate) for operation in parse(finding.sql or "")):
        return  # the new file is empty: it takes an instant, and nothing is read to make it
    for what, claimed, done in (
        ("rewrite", finding.rewrite, relation in measured.rewritten),
        ("scan", finding.scan, relation in measured.scanned),
    ):
        if claimed != done:
            yield f"{name}: claims {what}={claimed} of {relation}; seen: {done}"
