"""Take a change into its next phase, if the gates before it are open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from evolve.app.backfill_work import actor as default_actor
from evolve.app.edited_revisions import refuse_edited
from evolve.app.plan_change import refuse_unclean, refuse_unready, write_phase
from evolve.app.project_changes import Changes, read_change
from evolve.app.several_places import refuse_several_places
from evolve.errors import Misuse, Refused
from evolve.plan.change import Place
from evolve.plan.drift import refuse_drift
from evolve.plan.gates import Observation, Override, Rules, gates_before, overridden
from evolve.plan.lost_rows import accepted, accepting
from evolve.plan.manifest import Manifest, PhaseRecord
from evolve.plan.model import Gate, Holds, LostRows, NotMapped, NotUsed, Phase, PhaseName, Plan, Word
from evolve.plan.retired import retired
from evolve.plan.sole_writer import sole_writer
from evolve.plan.target import Target
from evolve.plan.wording import places_text
from evolve.postgres import evidence, tripwire
from evolve.postgres.connect import Connection
from evolve.postgres.places import absent
from evolve.postgres.plan_facts import LiveFacts
from evolve.postgres.stamps import applied_heads
from evolve.postgres.writable import refuse_read_only
from evolve.revisions.project import Project


class WordTooEarly(Misuse):
    def __init__(self, change: str, word: str, asked_for: PhaseName | None) -> None:
        super().__init__(
            f'"{Word(word, "").option}" is not asked for now: change "{change}" '
            + (f"goes into {asked_for} next" if asked_for else "is at its end"),
            why="a confirmation given too early would open a gate that nobody looks at again",
            fix=f"see what is asked for: evolve status {change}",
        )


class ArchiveTooEarly(Misuse):
    def __init__(self, manifest: Manifest) -> None:
        following = manifest.following
        super().__init__(
            f'--archive goes with purge, and change "{manifest.id}" '
            + (f"goes into {following.name} next" if following is not None else "is at its end"),
            fix=f"see where it is: evolve status {manifest.id}",
        )


class NotBegunHere(Refused):
    """Revisions are missing, and no run of evolve that was cut short explains it."""

    def __init__(self, manifest: Manifest, missing: Collection[str], phase: PhaseName) -> None:
        super().__init__(
            f'the manifest of change "{manifest.id}" names {", ".join(missing)}, which no file is, and this database '
            f"never saw {phase} begin",
            why="a run that was cut short has looked at the gates, and kept in the database what it saw; written "
            "without that, a revision would take away what somebody may still use",
            fix="restore the files, or the manifest: git checkout; or run it on the database where it was cut short",
        )


class UndoCutShort(Refused):
    def __init__(self, manifest: Manifest) -> None:
        super().__init__(
            f'change "{manifest.id}" is being undone',
            why="evolve undo was cut short before it had written all that takes the change back",
            fix=f"end that first: evolve undo {manifest.id} --write",
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a change is in one database.

    Args:
        current: the last phase that has begun.
        following: the phase to come; None at the end.
        missing: revisions the manifest names and no file holds.
        undo_cut_short: `evolve undo` has not written all that it was to write.
        not_applied: revisions of begun phases, and of undone ones, that the database does not have.
        seen: the gates of `following`, looked at now.
        upgrade: the command that applies `not_applied`.
    """

    manifest: Manifest
    current: PhaseRecord
    following: Phase | None
    missing: tuple[str, ...]
    not_applied: tuple[str, ...]
    seen: tuple[Observation, ...]
    undo_cut_short: bool = False
    upgrade: str = "evolve upgrade"

    @property
    def open(self) -> bool:
        """The next phase may begin."""
        return (
            self.following is not None
            and not self.missing
            and not self.not_applied
            and all(observation.open for observation in self.seen)
        )


@dataclass(frozen=True, slots=True)
class Advanced:
    """What `advance` did.

    Args:
        standing: as it was before.
        begun: the phase that has begun now; None where a gate is shut or the change is at its end.
        written: revision files made, oldest first.
        upgrade: the command that applies them.
    """

    standing: Standing
    begun: Phase | None
    written: tuple[Path, ...]
    upgrade: str = "evolve upgrade"


def advance(
    project: Project,
    url: str,
    identifier: str,
    words: Collection[str] = (),
    *,
    actor: str | None = None,
    accept_edits: bool = False,
    rules: Rules | None = None,
    override: Override | None = None,
    archive: bool = False,
) -> Advanced:
    """Look at the gates before the next phase of a change, and begin it where all are open.

    What was cut short by a crash is ended first. Evidence is kept in the database, the manifest is written, then the
    revisions; killed at any point, the next call goes on from there.

    Args:
        project: whose change it is.
        url: the database to look at.
        identifier: of the change.
        words: names of what the operator confirms, such as "old-code-gone".
        actor: who acts; the user of this process unless given.
        accept_edits: revisions of the change may send something else than its plan says.
        rules: what the project asks of its gates.
        archive: purge is to keep what it drops.
        override: gates to pass though they are shut; kept in the database with the reason.

    Raises:
        Edited: one of them does.
        NoSuchChange, BadManifest, MultipleHeads, CannotWrite, CannotConnect, EvidenceDenied.
        ArchiveTooEarly: the next phase is not purge; NothingToArchive.
        WordTooEarly: a word that the next phase does not ask for.
        NothingToOverride, NotOverridable: a gate named in `override` is not shut, or may not be passed.
        StrangeRevisions: the database is at a revision that the project does not have.
        NotBegunHere: revisions of a phase are missing that nobody has looked at the gates of.
        StandbyServer, ReadOnlySession: evidence cannot be kept there.
        AnotherWriter: another command writes to the project.
    """
    who = actor or default_actor()
    with sole_writer(project.script_directory, f"evolve advance {identifier}", who):
        changes, manifest = read_change(project, identifier)
        if manifest.over or changes.not_undone(manifest):
            raise UndoCutShort(manifest)
        with evidence.looking(url, "evolve advance") as connection:
            refuse_read_only(connection)
            refuse_several_places(project, url, connection)
            if changes.missing(manifest):
                _refuse_not_begun(connection, changes, manifest)
                return _finish(changes, manifest, manifest.plan)
            plan = None if manifest.following is None else _plan(connection, manifest)
            if plan is not None and not accept_edits:
                refuse_edited(changes, manifest)
            _hear(connection, changes, manifest, plan, words, who)
            rules = rules or Rules()
            if archive and (manifest.following is None or manifest.following.name != "purge"):
                raise ArchiveTooEarly(manifest)
            standing = _stand(connection, changes, manifest, plan, rules)
            if standing.not_applied:
                seen = _look_again(connection, manifest, override, rules, who)
                return Advanced(replace(standing, seen=seen), None, ())
            seen = evidence.watch(connection, identifier, standing.seen, rules)
            standing = replace(standing, seen=overridden(seen, override))
            following = standing.following
            if plan is None or following is None or not standing.open:
                return Advanced(standing, None, ())
            manifest, plan, following = _accepting(connection, manifest, plan, following)
            if archive:
                manifest = replace(manifest, archive=True)
                plan = manifest.plan
                following = next(phase for phase in plan.phases if phase.name == following.name)
            refuse_unclean(changes, replace(plan, phases=(following,)))
            refuse_unready(changes, identifier, following)
            if retired(following):
                tripwire.disarm(connection, identifier)  # what it hangs on could not go while it does
            evidence.keep(connection, identifier, following.name, standing.seen, who)
            if retired(following):
                evidence.judge(connection, identifier, following.name, standing.seen, who, rules)
        from evolve.revisions.writer import new_revision_id  # Alembic takes a while to import

        begun = manifest.begin(following.name, [new_revision_id() for _ in following.parts])
        written = write_phase(changes, begun, plan, following)
        return Advanced(standing, following, written.revisions, written.upgrade)


def _look_again(
    connection: Connection, manifest: Manifest, override: Override | None, rules: Rules, actor: str
) -> tuple[Observation, ...]:
    """Look at what the revisions of a phase ask that has begun, in a database that does not have them yet; what is seen
    is kept for those that cannot ask it themselves, and so is who overrides it.
    """
    phase = manifest.plan.phase(manifest.current.name)
    if phase is None:
        return ()
    gates: list[Gate] = [gate for gate in gates_before(phase, rules) if isinstance(gate, NotMapped | NotUsed)]
    gates += evidence.probed(connection, manifest.id, retired(phase))
    seen = tuple(evidence.observe(connection, manifest.id, gate, rules) for gate in gates)
    seen = overridden(evidence.watch(connection, manifest.id, seen, rules), override)
    if retired(phase):
        evidence.judge(connection, manifest.id, phase.name, seen, actor, rules)
    evidence.overrule(connection, manifest.id, phase.name, seen, actor)
    return seen


def stand(connection: Connection, changes: Changes, manifest: Manifest, rules: Rules) -> Standing:
    """Where the change is; reads only.

    Raises:
        CameSince: something came into its way; StrangeRevisions.
    """
    plan = None if manifest.following is None else _plan(connection, manifest)
    return _stand(connection, changes, manifest, plan, rules)


def _plan(connection: Connection, manifest: Manifest) -> Plan:
    """The plan of a change under way, and nothing has come into its way.

    Raises:
        CameSince.
    """
    plan = manifest.plan
    live = LiveFacts(connection)
    for (question, name), kept in manifest.facts.answers.items():
        # A table that the change itself has moved or dropped has no successor to compare with.
        if question == "table" and isinstance(kept, Target) and live.relation(name) == "table":
            refuse_drift(plan, kept, live.table(name))
    return plan


def _stand(
    connection: Connection, changes: Changes, manifest: Manifest, plan: Plan | None, rules: Rules
) -> Standing:
    project = changes.project
    heads = applied_heads(connection, project.version_table, project.version_table_schema)
    applied = changes.applied(heads)
    undoing = tuple(back.revision for back in manifest.taken_back)
    not_applied = tuple(revision for revision in (*manifest.revisions, *undoing) if revision not in applied)
    following = _following(manifest, plan)
    seen: tuple[Observation, ...] = ()
    if following is not None and not not_applied:
        seen = _seen(connection, manifest, following, rules)
    return Standing(
        manifest,
        manifest.current,
        following,
        changes.missing(manifest),
        not_applied,
        seen,
        manifest.over or bool(changes.not_undone(manifest)),
        changes.branches.upgrade(not_applied),
    )


def _seen(
    connection: Connection, manifest: Manifest, following: Phase, rules: Rules
) -> tuple[Observation, ...]:
    places = retired(following)
    gone = absent(connection, _tables(manifest)) or absent(connection, places)
    if gone:  # nobody uses it, no row of it is left: what the gates ask of it would say that all is well
        there = Holds("false", f"{places_text(gone)} is there", "see: evolve drift")
        return (Observation(there, False, "somebody has dropped or renamed it", there.fix),)
    contract = next((record.revisions for record in manifest.phases if record.name == "contract"), ())
    gates = gates_before(following, rules, contract) + evidence.probed(connection, manifest.id, places)
    return tuple(evidence.observe(connection, manifest.id, gate, rules) for gate in gates)


def _tables(manifest: Manifest) -> tuple[Place, ...]:
    """Those that it was planned on and has not taken away itself."""
    begun = {record.name for record in manifest.phases if record.state == "begun"}
    taken = {place for phase in manifest.plan.phases if phase.name in begun for place in retired(phase)}
    planned_on = [
        (answer.table, None)
        for (question, _), answer in manifest.facts.answers.items()
        if question == "table" and isinstance(answer, Target)
    ]
    return tuple(place for place in planned_on if place not in taken)


def _following(manifest: Manifest, plan: Plan | None) -> Phase | None:
    return plan.phase(manifest.following.name) if plan is not None and manifest.following else None


def _refuse_not_begun(connection: Connection, changes: Changes, manifest: Manifest) -> None:
    missing = changes.missing(manifest)
    for record in manifest.phases:
        lacking = [revision for revision in record.revisions if revision in missing]
        if not lacking:
            continue
        last = next(
            (
                event.kind
                for event in reversed(evidence.events(connection, manifest.id))
                if event.phase == record.name and event.kind in ("begun", "undone")
            ),
            None,
        )
        # Expand is begun by `evolve plan`, which keeps nothing in the database.
        if record != manifest.current or (record.name != "expand" and last != "begun"):
            raise NotBegunHere(manifest, lacking, record.name)


def _finish(changes: Changes, manifest: Manifest, plan: Plan) -> Advanced:
    """Write the revisions that an earlier call named in the manifest and did not come to write."""
    record = manifest.current
    phase = next(phase for phase in plan.phases if phase.name == record.name)
    standing = Standing(manifest, record, phase, changes.missing(manifest), (), ())
    written = write_phase(changes, manifest, plan, phase)
    return Advanced(standing, phase, written.revisions, written.upgrade)


def _hear(
    connection: Connection,
    changes: Changes,
    manifest: Manifest,
    plan: Plan | None,
    words: Collection[str],
    actor: str,
) -> None:
    following = _following(manifest, plan)
    asked = {gate.name for gate in following.gates if isinstance(gate, Word)} if following else set()
    heard: list[tuple[Phase, str]] = []
    for word in words:
        phase = following if word in asked else None
        if accepted(word) is not None:
            phase = _losing(connection, changes, manifest, following)
        if phase is None:
            raise WordTooEarly(manifest.id, word, following.name if following else None)
        heard.append((phase, word))
    for phase, word in heard:
        evidence.say(connection, manifest.id, phase.name, word, actor)


def _losing(
    connection: Connection, changes: Changes, manifest: Manifest, following: Phase | None
) -> Phase | None:
    """The phase that waits for somebody to accept that rows lose something: the following one, or one that has begun
    elsewhere and whose revision this database does not have, since it may have more such rows.
    """
    project = changes.project
    applied = changes.applied(applied_heads(connection, project.version_table, project.version_table_schema))
    here = {record.name for record in manifest.phases if not applied.issuperset(record.revisions)}
    waiting = [phase for phase in manifest.plan.phases if phase.name in here]
    if following is not None:
        waiting.append(following)
    return next((phase for phase in waiting if any(isinstance(gate, LostRows) for gate in phase.gates)), None)


def _accepting(
    connection: Connection, manifest: Manifest, plan: Plan, following: Phase
) -> tuple[Manifest, Plan, Phase]:
    """With as many rows as somebody has accepted here to lose something, where `following` drops it: the manifest and
    the revision go on to databases where nobody is asked, such as new ones with the same seed rows.
    """
    said = evidence.most_lost(connection, manifest.id)
    if said is None or not any(isinstance(gate, LostRows) for gate in following.gates):
        return manifest, plan, following
    manifest = replace(manifest, change=accepting(manifest.change, said[0]))
    plan = manifest.plan
    return manifest, plan, next(phase for phase in plan.phases if phase.name == following.name)


def next_command(standing: Standing) -> str:
    """What to run now."""
    identifier = standing.manifest.id
    if standing.undo_cut_short:
        return f"evolve undo {identifier} --write"
    if standing.missing:
        return f"evolve advance {identifier}"
    if standing.not_applied:
        return standing.upgrade
    if standing.following is None:
        return ""
    shut = [observation for observation in standing.seen if not observation.open]
    unspoken = [o.gate.option for o in shut if isinstance(o.gate, Word)]
    facts = [o for o in shut if not isinstance(o.gate, Word)]
    if facts:
        return facts[0].fix.removeprefix("run: ").removeprefix("see: ")
    return " ".join(["evolve advance", identifier, *unspoken])
