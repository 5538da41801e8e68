"""Plan a change: facts, recipe, its own lint; and, where asked, its first revision and its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from evolve.app.backfill_work import actor
from evolve.app.branches import needed_first
from evolve.app.project_changes import Changes, read_changes, refuse_conflicts
from evolve.app.several_places import refuse_several_places
from evolve.errors import Refused
from evolve.files import refuse_unwritable
from evolve.lint.engine import check
from evolve.lint.model import Finding, Severity
from evolve.lint.rules import DEFAULT
from evolve.plan.change import Change
from evolve.plan.gate_sql import gate_block
from evolve.plan.kept_facts import KeptFacts, Remembering
from evolve.plan.manifest import Manifest, directory, load_named, new_manifest, path_of, save
from evolve.plan.model import Phase, Plan
from evolve.plan.recipes import make_plan, trials_of
from evolve.plan.replayed import ReplayedFacts
from evolve.plan.sole_writer import sole_writer
from evolve.plan.target import Target
from evolve.plan.wording import conditions
from evolve.postgres.connect import Connection
from evolve.postgres.evidence import looking
from evolve.postgres.plan_facts import LiveFacts, may_act_as
from evolve.postgres.publications import of_all_tables
from evolve.postgres.stamps import applied_heads
from evolve.postgres.trials import attempt
from evolve.postgres.writable import StandbyServer, is_standby
from evolve.revisions.project import Project
from evolve.revisions.read import read
from evolve.revisions.select import Range
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema
from evolve.sql.steps import CapturedStatement, Place, Recording

_EVERYTHING = "base:heads"
# Of what a table has already: the twin of a spare index is as spare as the index.
_MIRRORED = frozenset({"index-redundant"})
# The type is one that somebody asked for by its name.
_ASKED = frozenset({"add-column-json"})
# The plan's notes say what subscribers need, and before which phase; no other statement would spare them.
_TOLD = frozenset({"publication-subscriber-first"})


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
class Planned:
    """A plan, and the facts it was made from.

    Args:
        standby: those of a server that only repeats what another one does.
    """

    plan: Plan
    facts: KeptFacts
    standby: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """Files that `write_plan` made, revisions oldest first; `upgrade` is the command that applies them."""

    manifest: Path
    revisions: tuple[Path, ...]
    upgrade: str = "evolve upgrade"


def plan_change(project: Project, change: Change, url: str | None) -> Planned:
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
    begun = next((manifest for manifest in changes.manifests if manifest.id == change.id), None)
    if begun is not None:  # a call before this one was cut short
        planned = Planned(begun.plan, begun.facts)
    elif url is None:
        planned = _planned(change, Remembering(ReplayedFacts(_schema(changes))))
    else:
        with looking(url, "evolve plan") as connection:
            refuse_several_places(project, url, connection)
            planned = _planned(change, Remembering(LiveFacts(connection)))
            notes = [
                *_tried(connection, planned),
                *_behind(connection, changes),
                *_not_owned(connection, planned.facts),
                *_sent_along(connection),
            ]
            standby = is_standby(connection)
        if standby:
            notes.append(
                "These facts come from a standby, which counts only what is used on itself: plan it on the primary to "
                "write it."
            )
        plan = replace(planned.plan, notes=(*planned.plan.notes, *notes))
        planned = replace(planned, plan=plan, standby=standby)
    refuse_conflicts(changes, change, planned.plan.uses)
    refuse_unclean(changes, planned.plan)
    return planned


def write_plan(project: Project, planned: Planned, now: datetime | None = None) -> Written:
    """Write the manifest, then the revisions of the first phase; a second call after a crash ends what the first began.

    Raises:
        CannotWrite: a directory cannot be written to; nothing was written.
        StandbyServer: what is known comes from one, and gates would compare it with the primary.
        AnotherWriter: another command writes to the project.
    """
    from evolve.revisions.writer import new_revision_id  # Alembic takes a while to import

    if planned.standby:
        raise StandbyServer
    plan = planned.plan
    refuse_unwritable(directory(project.script_directory))
    with sole_writer(project.script_directory, f"evolve plan {plan.change.kind} --write", actor()):
        changes = read_changes(project)
        refuse_conflicts(changes, plan.change, plan.uses)
        if any(manifest.id == plan.id for manifest in changes.manifests):
            manifest = load_named(project.script_directory, plan.id)
        else:
            first = plan.phases[0]
            manifest = new_manifest(plan, planned.facts, now or datetime.now(UTC)).begin(
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
    head = changes.branches.head(phase.name)
    depends_on = _needed_first(changes, plan, phase)
    written = []
    for revision, part in zip(record.revisions, phase.parts, strict=True):
        if revision in changes.history.revisions:
            continue
        written.append(
            write_revision(
                project, NewRevision(revision, manifest.id, phase.name, part, depends_on=depends_on), head
            )
        )
        head, depends_on = revision, ()
    return Written(path, tuple(written), changes.branches.upgrade(record.revisions))


def refuse_unready(changes: Changes, identifier: str, phase: Phase) -> None:
    """Raise, while nothing is written, what would stop `write_phase` halfway.

    Raises:
        CannotWrite, BrokenTemplate, RevisionBroken and its kin.
    """
    from evolve.revisions.writer import NewRevision, new_revision_id, rehearse

    project = changes.project
    # That any is named is enough: the template must have a place for it.
    others = tuple(filter(None, [changes.branches.expand])) if changes.branches.two else ()
    parts = [
        NewRevision(new_revision_id(), identifier, phase.name, part, depends_on=others)
        for part in phase.parts
    ]
    rehearse(project, parts, changes.branches.head(phase.name))
    for versions in project.version_directories:
        refuse_unwritable(versions)
    refuse_unwritable(directory(project.script_directory))


def _needed_first(changes: Changes, plan: Plan, phase: Phase) -> tuple[str, ...]:
    if not changes.branches.two:
        return ()
    recordings = read(changes.project, Range(_EVERYTHING), history=changes.history)
    return needed_first(changes.branches, changes.history, phase, plan, recordings)


# -- facts --------------------------------------------------------------------------------------------------
def _planned(change: Change, facts: Remembering) -> Planned:
    plan = make_plan(change, facts)
    return Planned(plan, facts.kept)


def _schema(changes: Changes) -> Schema:
    schema = Schema()
    for recording in read(changes.project, Range(_EVERYTHING), history=changes.history):
        for statement in recording.statements:
            for operation in parse(statement.sql):
                apply(schema, operation)
    return schema


def _tried(connection: Connection, planned: Planned) -> list[str]:
    """Carry out the recipe's trials on the rows that are there; notes on what they left open."""
    notes = [attempt(connection, trial) for trial in trials_of(planned.plan.change, planned.facts)]
    return [note for note in notes if note is not None]


def _not_owned(connection: Connection, facts: KeptFacts) -> list[str]:
    """Who plans may be another role than the one that will run it; that it must be should not come as a surprise."""
    owners = {
        answer.owner: answer.table
        for answer in facts.answers.values()
        if isinstance(answer, Target) and answer.owner is not None
    }
    return [
        f'Role "{connection.info.user}", which this was planned as, does not own {table.plain}: run `evolve upgrade` '
        f'as "{owner}" or a member of it.'
        for owner, table in owners.items()
        if not may_act_as(connection, owner)
    ]


def _sent_along(connection: Connection) -> list[str]:
    names = of_all_tables(connection)
    if not names:
        return []
    return [
        f"Publication {', '.join(names)} sends all tables, and so those that evolve keeps in schema evolve: a server "
        "that subscribes to it stops at the first row of one that it lacks, from the first `evolve upgrade` on. "
        "Let the publication name its schemas (FOR TABLES IN SCHEMA, from PostgreSQL 15 on) or its tables."
    ]


def _behind(connection: Connection, changes: Changes) -> list[str]:
    project = changes.project
    applied = applied_heads(connection, project.version_table, project.version_table_schema)
    heads = dict.fromkeys(filter(None, [changes.branches.expand, changes.branches.contract]))
    there = changes.history.ancestors(applied & changes.history.revisions.keys())
    missing = ", ".join(head for head in heads if head not in there)
    if not missing:
        return []
    return [
        f"The database is at {', '.join(sorted(applied)) or 'base'}, the project's head is {missing}: the facts "
        "above leave out what the revisions between them do."
    ]


# -- lint ---------------------------------------------------------------------------------------------------
def refuse_unclean(changes: Changes, plan: Plan) -> None:
    """Raise `PlanNotClean` where evolve's own rules would refuse what the plan writes."""
    file = path_of(changes.project.script_directory, plan.id)
    recordings = _recordings(plan, file)
    judged = {recording.revision for recording in recordings}
    result = check(recordings, DEFAULT, judged=judged, schema=_schema(changes), together=False)
    allowed = _allowed(plan)
    findings = [
        finding
        for finding in result.findings
        if finding.severity >= Severity.WARNING
        and finding.name not in _MIRRORED | _ASKED | _TOLD
        and finding.name not in allowed.get((finding.revision, finding.place.line), ())
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
            # Lines are numbered by statement, the last one of the part first: a gate before them moves none.
            for line, (sql, transactional) in enumerate(texts, 1 - len(texts)):
                sent.append(
                    CapturedStatement(sql, Place(file, -line), transaction if transactional else None)
                )
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


def _allowed(plan: Plan) -> dict[tuple[str, int], tuple[str, ...]]:
    """(revision, line) as `_recordings` gives them → rules that the statement there may break."""
    return {
        (f"{phase.name} {number}", line): statement.allow
        for phase in plan.phases
        for number, part in enumerate(phase.parts, 1)
        for line, statement in enumerate(reversed(part.statements))
    }
