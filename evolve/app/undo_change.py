"""Take a change back to an earlier phase, or as if it had never begun: by revisions on top of the history.

Nothing is taken out of the history: other revisions may stand on it, and other databases may have it. What takes a part
back is what the part's own revision would do in its `downgrade`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from evolve.app.backfill_work import actor as default_actor
from evolve.app.edited_revisions import refuse_edited
from evolve.app.plan_change import Written
from evolve.app.project_changes import Changes, read_change
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.errors import Misuse, Refused
from evolve.files import refuse_unwritable
from evolve.plan.drift import refuse_drift
from evolve.plan.gates import Observation, Override, Rules, overridden
from evolve.plan.manifest import Manifest, TakenBack, directory, path_of, save
from evolve.plan.model import NotMapped, Part, Phase, PhaseName, Plan
from evolve.plan.retired import retired
from evolve.plan.sole_writer import sole_writer
from evolve.plan.target import Target
from evolve.postgres import brown_out, evidence, tripwire
from evolve.postgres.brown_out import Hidden
from evolve.postgres.connect import Connection
from evolve.postgres.journal import latest_run
from evolve.postgres.plan_facts import LiveFacts
from evolve.postgres.stamps import applied_heads
from evolve.postgres.writable import refuse_read_only
from evolve.revisions.project import Project
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.statements import Statement


class NotBegun(Misuse):
    def __init__(self, manifest: Manifest, to: PhaseName) -> None:
        begun = [phase.name for phase in manifest.phases if phase.state == "begun"]
        super().__init__(
            f'change "{manifest.id}" cannot go back to {to}: it is in {manifest.current.name}',
            fix=f"name one of {', '.join(begun[:-1])}; without --to all of it is taken back"
            if len(begun) > 1
            else "leave out --to: then all of it is taken back",
        )


class StillFilling(Refused):
    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f'backfill "{name}" is {state}',
            why="it would go on writing to what is taken away",
            fix=f"end it first: evolve backfill cancel {name}",
        )


class StillHidden(Refused):
    def __init__(self, hidden: Hidden) -> None:
        super().__init__(
            f"{hidden.places} is hidden by a brown-out ({hidden.actor})",
            why="its privileges could not be given back where it has gone, or has another name",
            fix=f"wait for its end, or end it: evolve brown-out {hidden.change} --end",
        )


class NothingApplied(Misuse):
    def __init__(self, manifest: Manifest) -> None:
        super().__init__(
            f'this database has no revision of the project, and so none of change "{manifest.id}"',
            why="whether anything still uses what would go, and whether a backfill runs, is asked of a database in use",
            fix="check --database-url; if it is the one that is meant: evolve upgrade, then this again",
        )


@dataclass(frozen=True, slots=True)
class Undoing:
    """What going back means.

    Args:
        leaving: the phases to go back on, the last one first.
        to: the phase that the change is in then; None: none of it is left.
        not_applied: revisions of the change that this database does not have; they would be applied, then undone.
        finishing: it was begun before, and cut short.
        seen: whether a deployed version uses what would be dropped.
    """

    manifest: Manifest
    leaving: tuple[Phase, ...]
    to: PhaseName | None
    not_applied: tuple[str, ...]
    finishing: bool = False
    seen: tuple[Observation, ...] = ()

    @property
    def open(self) -> bool:
        return all(observation.open for observation in self.seen)

    @property
    def loses_needlessly(self) -> tuple[str, ...]:
        """Revisions that lose something once they are applied, and are not applied here."""
        records = {record.name: record.revisions for record in self.manifest.phases}
        return tuple(
            revision for phase, _ in self.loses for revision in records[phase] if revision in self.not_applied
        )

    @property
    def loses(self) -> tuple[tuple[PhaseName, str], ...]:
        """Phase and what leaving it loses, where it loses something."""
        return tuple((phase.name, phase.undo_loses) for phase in self.leaving if phase.undo_loses)


def preview(
    project: Project,
    url: str,
    identifier: str,
    to: PhaseName | None = None,
    *,
    rules: Rules,
    override: Override | None = None,
    accept_edits: bool = False,
) -> Undoing:
    """What `undo` would do; writes nothing.

    Raises:
        NoSuchChange, BadManifest, MultipleHeads, CannotConnect, StrangeRevisions, NothingApplied.
        NotBegun: `to` is no phase that the change has left.
        StillFilling: a backfill of it is under way. StillHidden: a brown-out of it is.
        CameSince: something hangs on what would be dropped. Edited: a revision of it was edited.
        NothingToOverride, NotOverridable: a gate named in `override` is not shut, or may not be passed.
    """
    changes, manifest = read_change(project, identifier)
    with evidence.looking(url, "evolve undo") as connection:
        return _preview(
            changes, connection, manifest, to, rules=rules, override=override, accept_edits=accept_edits
        )


def undo(
    project: Project,
    url: str,
    identifier: str,
    to: PhaseName | None = None,
    *,
    rules: Rules,
    override: Override | None = None,
    accept_edits: bool = False,
    actor: str | None = None,
) -> tuple[Undoing, Written | None]:
    """Write the revisions that take the change back to `to`; they are applied by `evolve upgrade`. None where a gate is
    shut: nothing was written then.

    The manifest names them before they are written, so a second call after a crash ends what the first began. Where
    none of the change is left, its manifest is removed at the end.

    Raises:
        CannotWrite: a directory cannot be written to; nothing was written. TableBusy: nor was it where a tripwire
            could not be taken away. AnotherWriter: another command writes to the project. As `preview` besides.
    """
    from evolve.revisions.writer import new_revision_id  # Alembic takes a while to import

    who = actor or default_actor()
    with sole_writer(project.script_directory, f"evolve undo {identifier} --write", who):
        changes, manifest = read_change(project, identifier)
        plan = manifest.plan
        with evidence.looking(url, "evolve undo") as connection:
            refuse_read_only(connection)
            going = _preview(
                changes, connection, manifest, to, rules=rules, override=override, accept_edits=accept_edits
            )
            if not going.open:
                return going, None
            refuse_unwritable(directory(project.script_directory))
            for versions in project.version_directories:
                refuse_unwritable(versions)
            if not going.finishing:
                parts = [part for phase in going.leaving for part in reversed(phase.parts)]
                manifest = manifest.back_to(to, [new_revision_id() for _ in parts])
                _rehearse(changes, manifest, plan)
                tripwire.disarm(connection, identifier)  # nobody would look at it any more
                left = [phase.name for phase in going.leaving]
                evidence.undone(connection, identifier, left, going.seen, who)
        return going, _write(changes, manifest, plan)


def _preview(
    changes: Changes,
    connection: Connection,
    manifest: Manifest,
    to: PhaseName | None,
    *,
    rules: Rules,
    override: Override | None,
    accept_edits: bool,
) -> Undoing:
    project, plan = changes.project, manifest.plan
    heads = applied_heads(connection, project.version_table, project.version_table_schema)
    applied = changes.applied(heads)
    if changes.history.revisions and not applied:
        raise NothingApplied(manifest)
    not_applied = tuple(revision for revision in manifest.revisions if revision not in applied)
    if manifest.over or changes.not_undone(manifest):
        names: set[PhaseName] = {back.phase for back in changes.not_undone(manifest) or manifest.taken_back}
        leaving = _newest_first(plan, names)
        kept = None if manifest.over else manifest.current.name
        return Undoing(manifest, leaving, kept, not_applied, finishing=True)
    begun: list[PhaseName] = [phase.name for phase in manifest.phases if phase.state == "begun"]
    if to is not None and to not in begun[:-1]:
        raise NotBegun(manifest, to)
    leaving = _newest_first(plan, begun[begun.index(to) + 1 :] if to is not None else begun)
    if not accept_edits:
        refuse_edited(changes, manifest)
    for spec in plan.backfills:
        run = latest_run(connection, spec.name)
        if run is not None and run.state in (State.FENCING, State.RUNNING, State.VERIFYING, State.UNDOING):
            raise StillFilling(spec.name, run.state.value)
    for hidden in brown_out.hidden(connection, manifest.id):
        raise StillHidden(hidden)
    live = LiveFacts(connection)
    for (question, name), kept_answer in manifest.facts.answers.items():
        if question == "table" and isinstance(kept_answer, Target) and live.relation(name) == "table":
            refuse_drift(plan, kept_answer, live.table(name))
    gates = [
        gate for phase in leaving for part in phase.parts for gate in inverse(phase.name, part).conditions
    ]
    seen = tuple(evidence.observe(connection, manifest.id, gate, rules) for gate in gates)
    return Undoing(manifest, leaving, to, not_applied, seen=overridden(seen, override))


def _newest_first(plan: Plan, names: Collection[PhaseName]) -> tuple[Phase, ...]:
    return tuple(phase for phase in reversed(plan.phases) if phase.name in names)


# -- writing ------------------------------------------------------------------------------------------------
def _write(changes: Changes, manifest: Manifest, plan: Plan) -> Written:
    from evolve.revisions.writer import NewRevision, write_revision

    project = changes.project
    path = path_of(project.script_directory, manifest.id)
    save(path, manifest, plan)
    # What takes back comes after all that is there, on either of two branches.
    branches = changes.branches
    head, depends_on = branches.contract, (branches.expand,) if branches.two and branches.expand else ()
    written: list[Path] = []
    for back in changes.not_undone(manifest):
        part = _inverse(plan, back)
        new = NewRevision(back.revision, manifest.id, back.phase, part, depends_on, back.of)
        written.append(write_revision(project, new, head))
        head, depends_on = back.revision, ()
    if manifest.over:
        path.unlink()
    return Written(path, tuple(written), branches.upgrade([back.revision for back in manifest.taken_back]))


def _rehearse(changes: Changes, manifest: Manifest, plan: Plan) -> None:
    """Raise, while nothing is written, what would stop `_write` halfway."""
    from evolve.revisions.writer import NewRevision, rehearse

    head = changes.branches.contract
    others = (head,) if changes.branches.two and head else ()
    new = [
        NewRevision(back.revision, manifest.id, back.phase, _inverse(plan, back), others, back.of)
        for back in changes.not_undone(manifest)
    ]
    rehearse(changes.project, new, head)


def _inverse(plan: Plan, back: TakenBack) -> Part:
    phase = plan.phase(back.phase)
    assert phase is not None  # noqa: S101 - the manifest's reader has compared it with the plan
    part = inverse(phase.name, phase.parts[back.part])
    if phase.name == "expand" and back.part == len(phase.parts) - 1:
        # Whoever downgrades behind the undo finds the rows as the revisions before it left them.
        part = replace(part, undo=(*part.undo, *(_fill(spec) for spec in plan.backfills)))
    return part


def _fill(spec: Spec) -> Statement:
    assignments = ", ".join(f"{quote(column)} = {value}" for column, value in spec.assignments)
    where = f"\n WHERE {spec.where}" if spec.where is not None else ""
    return Statement(
        f"UPDATE {spec.table}\n   SET {assignments}{where}",  # noqa: S608 - of the plan
        LockMode.ROW_EXCLUSIVE,
        "every row at once, under the locks of the statements above: go back this far only on a small table or in a "
        "maintenance window",
    )


def inverse(phase: PhaseName, part: Part) -> Part:
    """What takes `part` back, and may itself be taken back; code that uses what it drops shuts it."""
    places = retired(Phase(phase, "", (Part(part.title, part.undo),)))
    conditions = (NotMapped(phase, places),) if places else ()
    return Part(part.title, part.undo, part.statements, conditions)
