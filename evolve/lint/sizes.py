"""What sizes and write rates say about a finding: how long its lock is held, and whether anybody would notice.

    finding                                              becomes
    work under a lock, on small tables alone             information
    a lock that stops the writers of a hot table         one step more severe
    what breaks code, loses data or fails                stays what it is on tables of any size

Seconds are megabytes by throughput:

    reading every row   heap / scan_mb_s
    building an index   heap / index_mb_s
    rewriting           (heap + TOAST) / rewrite_mb_s, and heap / index_mb_s for each index
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from evolve.lint.facts import Facts, RelationFacts, Size
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity, Weight
from evolve.lint.predicted import predicted
from evolve.lint.thresholds import MB, Thresholds
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step
from evolve.values import dataclass

_TRAFFIC = frozenset("15")  # families of rules: blocks traffic, partitions


@dataclass(frozen=True, slots=True)
class Work:
    """What a statement does to tables that are in use.

    Args:
        blocks: tables whose writers wait for it.
        indexes: tables that it builds an index on.
    """

    blocks: frozenset[QualifiedName] = frozenset()
    rewrites: frozenset[QualifiedName] = frozenset()
    scans: frozenset[QualifiedName] = frozenset()
    indexes: frozenset[QualifiedName] = frozenset()

    @property
    def tables(self) -> frozenset[QualifiedName]:
        return self.blocks | self.rewrites | self.scans


def work_of(step: Step, history: History) -> Work:
    """`history` stands just before the step."""
    schema = history.schema
    found = predicted(step, history)
    blocks = frozenset(
        name
        for name, mode in found.locks.items()
        if mode.blocks_writes
        and history.in_use(name)
        and not (name in schema.indexes or name in schema.sequences or name in schema.views)
    )
    return Work(blocks, found.rewrites, found.scans, frozenset(_indexed(step.operation)))


def weigh(finding: Finding, work: Work, facts: Facts, thresholds: Thresholds) -> Finding:
    """`finding` with its weight, and quieted or raised by it; unchanged without a lock on a table that is known."""
    size = facts.size(finding.lock.relation) if finding.lock is not None else None
    if finding.lock is None or size is None:
        return finding
    works = finding.rewrite or finding.scan
    weight = Weight(
        rows=size.rows,
        bytes=size.bytes,
        seconds=_seconds(finding, finding.lock.relation, work, facts, thresholds) if works else None,
        writes_per_second=size.writes_per_second,
    )
    if finding.lock.mode.blocks_writes:
        touched = {name: facts.size(name) for name in sorted({finding.lock.relation, *work.tables})}
        busy = _hot(touched, thresholds) or (_large(touched, thresholds) if works else None)
        if busy is not None:
            severity = Severity(min(finding.severity + 1, Severity.ERROR))
            return replace(
                finding,
                severity=severity,
                message=f"{finding.message}; {busy}",
                weight=replace(weight, before=finding.severity),
            )
        small = all(each is not None and thresholds.is_small(each) for each in touched.values())
        if small and works and _costs_only_time(finding):
            return replace(finding, severity=Severity.INFO, weight=replace(weight, before=finding.severity))
    return replace(finding, weight=weight)


def unknown_tables(tables: Iterable[QualifiedName], facts: Facts) -> tuple[QualifiedName, ...]:
    """Those of `tables` that the facts should know and do not, in the order of their names."""
    asked = (name for name in tables if facts.schemas is None or name.schema in facts.schemas)
    return tuple(sorted(name for name in asked if name not in facts.relations))


def _hot(tables: dict[QualifiedName, Size | None], thresholds: Thresholds) -> str | None:
    for name, size in tables.items():
        if size is not None and thresholds.is_hot(size):
            return f'"{name.plain}" takes {size.writes_per_second or 0:,.0f} writes/s'
    return None


def _large(tables: dict[QualifiedName, Size | None], thresholds: Thresholds) -> str | None:
    for name, size in tables.items():
        if size is not None and thresholds.is_large(size):
            return f'"{name.plain}" has {size.bytes / MB / 1000:,.0f} GB'
    return None


def _costs_only_time(finding: Finding) -> bool:
    family = next((sign for sign in finding.rule if sign.isdigit()), "")
    fatal = finding.fails or finding.breaks_old_code or finding.breaks_new_code
    return family in _TRAFFIC and not fatal


def _seconds(
    finding: Finding, locked: QualifiedName, work: Work, facts: Facts, thresholds: Thresholds
) -> float:
    """Of all tables that the statement reads or rewrites, one after another."""
    root = facts.relations.get(locked)
    # Facts may know more partitions than the revisions made.
    whole = root is not None and (root.kind == "partitioned table" or not (work.rewrites or work.scans))
    extra = frozenset({locked}) if whole else frozenset[QualifiedName]()
    anew = work.rewrites | extra if finding.rewrite else work.rewrites
    return seconds_of(replace(work, rewrites=anew, scans=work.scans | extra), facts, thresholds)


def seconds_of(work: Work, facts: Facts, thresholds: Thresholds) -> float:
    """How long the work on the tables that are known takes, one after another."""
    # What is dearer comes later and counts alone.
    read = {leaf.name: _mb(leaf) / thresholds.scan_mb_s for leaf in leaves(work.scans, facts)}
    build = {leaf.name: _mb(leaf) / thresholds.index_mb_s for leaf in leaves(work.indexes, facts)}
    rewrite = {
        leaf.name: (_mb(leaf) + leaf.toast_bytes / MB) / thresholds.rewrite_mb_s
        + len(leaf.indexes) * _mb(leaf) / thresholds.index_mb_s
        for leaf in leaves(work.rewrites, facts)
    }
    return sum({**read, **build, **rewrite}.values())


def leaves(tables: Iterable[QualifiedName], facts: Facts) -> set[RelationFacts]:
    """Those of `tables` and of their partitions that hold rows."""
    return {leaf for name in tables for leaf in facts.tree(name) if leaf.kind != "partitioned table"}


def _mb(relation: RelationFacts) -> float:
    return relation.heap_bytes / MB


def _indexed(operation: op.Operation) -> Iterable[QualifiedName]:
    match operation:
        case op.CreateIndex(table=table):
            yield table
        case op.AddConstraint(table=table, constraint=op.Exclude()):
            yield table
        case op.AddConstraint(table=table, constraint=op.PrimaryKey() | op.Unique() as constraint):
            if constraint.using_index is None:
                yield table
        case _:
            return
