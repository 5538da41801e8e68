"""What a server did with statements, against what was predicted of them and found in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal

from evolve.lint.model import Finding
from evolve.sql import operations as op
from evolve.sql.effects import Effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.sql.steps import CapturedStatement
from evolve.values import dataclass

Kind = Literal["prediction", "finding", "not found", "failed"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one statement did on the server to tables, views and materialized views that were in use before it.

    Args:
        locks: the strongest on each that the transaction holds after it; None where it cannot run in a transaction.
        held: those that the transaction held before it.
        scanned: tables that were read from end to end.
        in_use: all such relations before it.
        seconds: of the server's work and one round trip.
        wal_bytes: that the server wrote meanwhile, for this and for any other session.
        error: what the server said where it refused the statement, and `sqlstate` its code.
        skipped: why the statement was not run, or why what came of it says nothing of the revision.
    """

    locks: Mapping[QualifiedName, LockMode] | None = field(default_factory=dict)
    held: Mapping[QualifiedName, LockMode] = field(default_factory=dict)
    rewritten: frozenset[QualifiedName] = frozenset()
    scanned: frozenset[QualifiedName] = frozenset()
    in_use: frozenset[QualifiedName] = frozenset()
    seconds: float = 0.0
    wal_bytes: int = 0
    error: str | None = None
    sqlstate: str | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A statement of a judged revision, and what was seen of it."""

    revision: str
    statement: CapturedStatement
    seen: Seen


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the linter and the server disagree.

    Args:
        kind: "prediction": of locks, rewrites and scans; "finding": one that the server refutes; "not found": a hazard
            that no finding names; "failed": the server refuses a statement, and no finding says so.
        rule: of the finding that is refuted.
        message: one sentence, no full stop.
    """

    revision: str
    statement: CapturedStatement
    kind: Kind
    message: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """
    Args:
        server_version: major.
        provider: where the server came from, such as "embedded".
        differences: in the order of the statements.
        notes: what could not be verified, and why.
        ended_at: the revision behind which nothing was run, since the server refused a statement of it.
    """

    server_version: int
    provider: str
    runs: tuple[Run, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()
    ended_at: str | None = None


def differences(
    revision: str,
    statement: CapturedStatement,
    operations: Sequence[op.Operation],
    predicted: Sequence[Effect],
    findings: Collection[Finding],
    seen: Seen,
    before: Sequence[Seen],
    schema: Schema,
) -> Iterator[Difference]:
    """Compare one statement.

    Args:
        operations: what it does.
        predicted: the effect of each.
        findings: those at this statement, allowed ones among them.
        before: what the statements before it in its transaction did.
        schema: before it.
    """
    if seen.skipped is not None:
        return
    fails = [finding for finding in findings if finding.fails]
    if seen.error is not None:
        if not fails:
            yield Difference(revision, statement, "failed", f"the server refuses it: {seen.error}")
        return
    for finding in fails:
        yield Difference(
            revision, statement, "finding", f"{finding.name}: it is said to fail, and does not", finding.rule
        )
    if seen.locks is None:
        return
    messages = (*_unpredicted(operations, predicted, seen, seen.locks, schema),)
    yield from (Difference(revision, statement, "prediction", message) for message in messages)
    # The new file of an emptied table takes an instant, and nothing is read to make it.
    empties = any(isinstance(operation, op.Truncate) for operation in operations)
    told = _told(findings, operations, schema) if not empties else (seen.rewritten, seen.scanned)
    for finding in findings:
        for message in _refuted(finding, seen, seen.locks, before, told, _holding(finding, schema)):
            yield Difference(revision, statement, "finding", f"{finding.name}: {message}", finding.rule)
    refreshes = any(isinstance(operation, op.RefreshMaterializedView) for operation in operations)
    if not any(finding.lock is not None for finding in findings) and not refreshes:
        for message in _hazards(seen, seen.locks, schema):
            yield Difference(revision, statement, "not found", message)


def _unpredicted(
    operations: Sequence[op.Operation],
    predicted: Sequence[Effect],
    seen: Seen,
    locks: Mapping[QualifiedName, LockMode],
    schema: Schema,
) -> Iterator[str]:
    expected: dict[QualifiedName, LockMode] = dict(seen.held)
    for effect in predicted:
        for name, mode in effect.locks.items():
            expected[name] = max(mode, expected.get(name, mode))
    # What a block may do need not happen; what text that was not read does cannot be known.
    conditional = any(isinstance(operation, op.DoBlock | op.Query | op.Unread) for operation in operations)
    for name in sorted(seen.in_use):
        taken, said = locks.get(name), expected.get(name)
        if taken == said or max(taken or 0, said or 0) < LockMode.SHARE_UPDATE_EXCLUSIVE:
            continue
        if conditional and (taken or 0) < (said or 0):
            continue
        yield f'it takes {taken or "no lock"} on "{name.plain}"; predicted: {said or "none"}'
    rewrites = {name for effect in predicted for name in effect.rewrites} & seen.in_use
    for name in sorted(seen.rewritten - rewrites):
        yield f'it rewrites "{name.plain}"; not predicted'
    for name in sorted(rewrites - seen.rewritten) if not conditional else ():
        yield f'it does not rewrite "{name.plain}"; predicted'
    if not conditional and not any(isinstance(operation, _PLANNED) for operation in operations):
        # The target of a key is read through its index or as a whole, as the planner likes.
        targets = {name for operation in operations for name in _key_targets(operation, schema)}
        scans = {name for effect in predicted for name in effect.scans} & seen.in_use
        for name in sorted(seen.scanned - scans - targets):
            under = locks.get(name)
            if under is not None and under.blocks_writes:
                yield f'it reads every row of "{name.plain}"; not predicted'
        for name in sorted(scans - seen.scanned):
            yield f'it does not read the rows of "{name.plain}"; predicted'


# Whether these read a table from end to end is for the planner to choose; and an emptied table has no rows left.
_PLANNED = op.Insert | op.Update | op.Delete | op.Query | op.Copy | op.CreateView | op.Truncate


def _key_targets(operation: op.Operation, schema: Schema) -> Iterator[QualifiedName]:
    match operation:
        case op.AlterColumnType(table=table, column=altered):
            keys = (key for member in schema.family(table) for key in member.foreign_keys)
            yield from (key.target for key in keys if altered in key.columns)
        case op.AddConstraint(constraint=op.ForeignKey(target=target)):
            yield target
        case op.AddColumn(column=column):
            yield from (key.target for key in column.constraints if isinstance(key, op.ForeignKey))
        case op.CreateTable(columns=columns, constraints=constraints):
            inline = (key for column in columns for key in column.constraints)
            yield from (key.target for key in (*inline, *constraints) if isinstance(key, op.ForeignKey))
        case _:
            return


Tables = Collection[QualifiedName]


def _told(
    findings: Collection[Finding], operations: Sequence[op.Operation], schema: Schema
) -> tuple[Tables, Tables]:
    """What is said to be rewritten and to be read: a statement has several clauses, and a finding is about one.

    The target of a key is read through its index or as a whole, as the planner likes.
    """
    return (
        {each.lock.relation for each in findings if each.lock is not None and each.rewrite},
        {
            *(each.lock.relation for each in findings if each.lock is not None and each.scan),
            *(target for operation in operations for target in _key_targets(operation, schema)),
        },
    )


def _holding(finding: Finding, schema: Schema) -> Tables:
    """Where the rows of the finding's table are: in its partitions, if it is partitioned."""
    name = finding.lock.relation if finding.lock is not None else None
    table = schema.table(name) if name is not None else None
    if table is None or table.partition_by is None:
        return [name] if name is not None else []
    return [member.name for member in schema.family(table.name) if member.partition_by is None]


def _refuted(
    finding: Finding,
    seen: Seen,
    locks: Mapping[QualifiedName, LockMode],
    before: Sequence[Seen],
    told: tuple[Tables, Tables],
    holding: Tables,
) -> Iterator[str]:
    if finding.lock is None or finding.lock.relation not in seen.in_use:
        return
    table = finding.lock.relation
    taken = locks.get(table)
    # A stronger lock may be held since an earlier statement.
    if taken != max(finding.lock.mode, seen.held.get(table, finding.lock.mode)):
        yield f"it says {finding.lock}; taken: {taken or 'none'}"
    # A lock that is kept may be told at a later statement than the one whose work it is kept for.
    done = (*before, seen)
    rewritten, scanned = told
    for what, claimed, said, all_done, now in (
        (
            "rewrites",
            finding.rewrite,
            table in rewritten,
            any(each.rewritten.intersection(holding) for each in done),
            table in seen.rewritten,
        ),
        (
            "reads every row of",
            finding.scan,
            table in scanned,
            any(each.scanned.intersection(holding) for each in done),
            table in seen.scanned,
        ),
    ):
        if claimed and holding and not all_done:
            yield f'it says that the statement {what} "{table.plain}", which it does not'
        elif now and not said:
            yield f'it does not say that the statement {what} "{table.plain}"'


def _hazards(seen: Seen, locks: Mapping[QualifiedName, LockMode], schema: Schema) -> Iterator[str]:
    for name in sorted(seen.rewritten | seen.scanned):
        mode = locks.get(name)
        if mode is None or not mode.blocks_writes:
            continue
        # Nobody writes to a materialized view but REFRESH.
        if mode.blocks_reads or name not in schema.views:
            work = "rewrites it" if name in seen.rewritten else "reads every row of it"
            yield f'it takes {mode} on "{name.plain}" while it {work}; no finding says so'
