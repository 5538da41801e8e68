"""Plan a change: facts, recipe, its own lint; and, where asked, its first revision and its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from evolve.app.project_changes import Changes, read_changes, refuse_conflicts
from evolve.errors import Refused
from evolve.files import refuse_unwritable
from evolve.lint.engine import check
from evolve.lint.model import Finding, Severity
from evolve.lint.rules import DEFAULT
from evolve.plan.expressions import read_type
from evolve.plan.gate_sql import gate_block
from evolve.plan.manifest import Manifest, directory, load_named, new_manifest, path_of, save
from evolve.plan.model import AddRequiredColumn, Change, Phase, Plan, RenameColumn, SetNotNull, change_id
from evolve.plan.recipes import make_plan
from evolve.plan.replayed import target_from
from evolve.plan.target import Target
from evolve.plan.wording import conditions
from evolve.postgres.connect import Connection
from evolve.postgres.evidence import any_row, looking, rewrites_on_add, try_expression
from evolve.postgres.plan_target import read_target
from evolve.postgres.stamps import applied_heads
from evolve.revisions.project import Project
from evolve.revisions.read import read
from evolve.revisions.select import Range
from evolve.sql.names import quote
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema
from evolve.sql.steps import CapturedStatement, Place, Recording

_EVERYTHING = "base:heads"
# Of what a table has already: the twin of a spare index is as spare as the index.
_MIRRORED = frozenset({"index-redundant"})


class NullsLeft(Refused):
    def __init__(self, change: SetNotNull) -> None:
        super().__init__(
            f'column "{change.column}" of "{change.table.plain}" holds nulls',
            why="without --fill nothing replaces them, and every later update of such a row would fail",
            fix=f"say what to put there: evolve plan set-not-null {change.table}.{change.column} --fill \"''\"",
        )


class ConstrainedDomain(Refused):
    def __init__(self, type_name: str, fix: str) -> None:
        super().__init__(
            f'type "{type_name}" is a domain with constraints',
            why="adding a column of such a type rewrites the table under ACCESS EXCLUSIVE",
            fix=fix,
        )


class PlanNotClean(Refused):
    """A plan that its own linter refuses."""

    def __init__(self, plan: Plan, findings: Sequence[Finding]) -> None:
        listed = "; ".join(f"{finding.rule} {finding.message}" for finding in findings)
        super().__init__(
            f'the plan "{plan.id}" does not pass evolve\'s own rules: {listed}',
            why="what evolve writes must be as safe as what it accepts from others",
            fix="nothing was written; please report this plan",
        )
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Written:
    """Files that `write_plan` made, revisions oldest first."""

    manifest: Path
    revisions: tuple[Path, ...]


def plan_change(project: Project, change: Change, url: str | None) -> Plan:
    """Plan `change`; writes nothing.

    Args:
        project: whose history the plan goes on top of.
        change: the wish.
        url: the database to take facts from; None takes them from the project's revisions.

    Raises:
        MultipleHeads, ChangeInFlight, AlreadyDone: the project is not ready for it.
        Misuse, Refused: what the recipe says; nothing has been written.
    """
    changes = read_changes(project)
    refuse_conflicts(changes, change)
    in_flight = any(manifest.id == change_id(change) for manifest in changes.manifests)
    if url is None:
        plan = make_plan(change, _replayed_target(changes, change), in_flight=in_flight)
    else:
        with looking(url, "evolve plan") as connection:
            target = read_target(connection, change.table)
            plan = make_plan(change, target, in_flight=in_flight)
            notes = [*plan.notes, *_try(connection, change), *_behind(connection, changes)]
        plan = replace(plan, notes=tuple(notes))
    refuse_unclean(changes, plan)
    return plan


def write_plan(project: Project, plan: Plan, now: datetime | None = None) -> Written:
    """Write the manifest, then the revisions of the first phase; a second call after a crash ends what the first began.

    Raises:
        CannotWrite: a directory cannot be written to; nothing was written.
    """
    from evolve.revisions.writer import new_revision_id  # Alembic takes a while to import

    changes = read_changes(project)
    refuse_conflicts(changes, plan.change)
    if any(manifest.id == plan.id for manifest in changes.manifests):
        manifest = load_named(project.script_directory, plan.id)
    else:
        first = plan.phases[0]
        manifest = new_manifest(plan, now or datetime.now(UTC)).begin(
            first.name, [new_revision_id() for _ in first.parts]
        )
    return write_phase(changes, manifest, plan, plan.phases[0])


def write_phase(changes: Changes, manifest: Manifest, plan: Plan, phase: Phase) -> Written:
    """Write `manifest`, and the revisions of `phase` that it names and no file holds yet, on top of the head."""
    from evolve.revisions.writer import NewRevision, write_revision

    refuse_unready(changes, manifest.id, phase)
    project = changes.project
    path = path_of(project.script_directory, manifest.id)
    save(path, manifest, plan)
    record = next(record for record in manifest.phases if record.name == phase.name)
    head = changes.head
    written = []
    for revision, part in zip(record.revisions, phase.parts, strict=True):
        if revision in changes.history.revisions:
            continue
        written.append(write_revision(project, NewRevision(revision, manifest.id, phase.name, part), head))
        head = revision
    return Written(path, tuple(written))


def refuse_unready(changes: Changes, identifier: str, phase: Phase) -> None:
    """Raise, while nothing is written, what would stop `write_phase` halfway.

    Raises:
        CannotWrite, BrokenTemplate, RevisionBroken and its kin.
    """
    from evolve.revisions.writer import NewRevision, new_revision_id, rehearse

    project = changes.project
    parts = [NewRevision(new_revision_id(), identifier, phase.name, part) for part in phase.parts]
    rehearse(project, parts, changes.head)
    for versions in project.version_directories:
        refuse_unwritable(versions)
    refuse_unwritable(directory(project.script_directory))


# -- facts --------------------------------------------------------------------------------------------------
def _replayed_target(changes: Changes, change: Change) -> Target:
    return target_from(_schema(changes), change.table)


def _schema(changes: Changes) -> Schema:
    schema = Schema()
    for recording in read(changes.project, Range(_EVERYTHING), history=changes.history):
        for statement in recording.statements:
            for operation in parse(statement.sql):
                apply(schema, operation)
    return schema


def _try(connection: Connection, change: Change) -> list[str]:
    """Try the expressions of `change` on the rows that are there; notes on what could not be tried."""
    match change:
        case RenameColumn(table, column):
            known = read_target(connection, table).column(column)
            if known is not None and rewrites_on_add(connection, read_type(known.type).type):
                raise ConstrainedDomain(
                    known.type, "keep the name, or move the rows to a column of the base type"
                )
            return []
        case SetNotNull(table, column, None):
            if any_row(connection, table, f"{quote(column)} IS NULL"):
                raise NullsLeft(change)
            return []
        case SetNotNull(table, column, fill):
            types = {known.name: known.type for known in read_target(connection, table).columns}
            tried = try_expression(
                connection, table, "--fill", fill or "", types[column], rows=f"{quote(column)} IS NULL"
            )
            return [] if tried else [_not_tried("--fill")]
        case AddRequiredColumn(table, _, type_name, up, default):
            bare = read_type(type_name).type
            if rewrites_on_add(connection, bare):
                raise ConstrainedDomain(
                    type_name, "add the column with the domain's base type and a NOT VALID check instead"
                )
            notes = []
            if not try_expression(connection, table, "--up", up, bare, rows=None):
                notes.append(_not_tried("--up"))
            if default is not None:
                try_expression(connection, table, "--default", default, bare, rows="false")
            return notes


def _not_tried(option: str) -> str:
    return (
        f"The table is too large to try {option} on every row within 30 s: make sure that it never fails and never "
        "gives a null."
    )


def _behind(connection: Connection, changes: Changes) -> list[str]:
    project = changes.project
    applied = applied_heads(connection, project.version_table, project.version_table_schema)
    if changes.head is None or changes.head in applied:
        return []
    return [
        f"The database is at {', '.join(sorted(applied)) or 'base'}, the project's head is {changes.head}: the facts "
        "above leave out what the revisions between them do."
    ]


# -- lint ---------------------------------------------------------------------------------------------------
def refuse_unclean(changes: Changes, plan: Plan) -> None:
    """Raise `PlanNotClean` where evolve's own rules would refuse what the plan writes."""
    file = path_of(changes.project.script_directory, plan.id)
    recordings = _recordings(plan, file)
    judged = {recording.revision for recording in recordings}
    result = check(recordings, DEFAULT, judged=judged, schema=_schema(changes), together=False)
    findings = [
        finding
        for finding in result.findings
        if finding.severity >= Severity.WARNING and finding.name not in _MIRRORED
    ]
    if findings:
        raise PlanNotClean(plan, findings)


def _recordings(plan: Plan, file: Path) -> list[Recording]:
    """What capturing the plan's revisions would give."""
    recordings: list[Recording] = []
    transaction = 0
    for phase in plan.phases:
        for number, part in enumerate(phase.parts, 1):
            sent = []
            gate = conditions(part)
            texts = [(gate_block(plan.id, gate), True)] if gate else []
            texts += [(statement.sql, statement.transactional) for statement in part.statements]
            transaction += 1
            for sql, transactional in texts:
                sent.append(CapturedStatement(sql, Place(file, 0), transaction if transactional else None))
                if not transactional:
                    transaction += 1
            recordings.append(
                Recording(
                    f"{phase.name} {number}",
                    (recordings[-1].revision,) if recordings else (),
                    file,
                    tuple(sent),
                    metadata=(("change", plan.id), ("phase", phase.name)),
                )
            )
    return recordings
