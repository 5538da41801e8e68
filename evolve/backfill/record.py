"""A run as the journal holds it, for `status`, for gates, and for the decision what `run` and `resume` may do."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from datetime import datetime

from evolve.backfill.keyset import PLACE, Key, KeyColumn, fraction
from evolve.backfill.ports import Want
from evolve.backfill.settings import OPEN, Settings
from evolve.backfill.spec import Spec
from evolve.backfill.status import ENDED, State, shown
from evolve.backfill.steering import Brake, Doing
from evolve.backfill.terms import UNSAID, Terms
from evolve.backfill.twice import adds_up
from evolve.backfill.verify import Verdict
from evolve.backfill.works import work_json
from evolve.errors import Misuse, Refused
from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class Holder:
    """Who leads a run or works on it: the lease has not run out, and its session is still there.

    Args:
        owner: user@host and process id.
        until: server time at which the lease ends unless it is renewed.
    """

    owner: str
    until: datetime

    @property
    def person(self) -> str:
        return person(self.owner)


def person(owner: str) -> str:
    who, _, rest = owner.partition("#")
    return f"{who}, pid {rest.partition('#')[0]}" if rest else who


@dataclass(frozen=True, slots=True)
class Busy:
    """A worker whose lease is live.

    Args:
        pid: of its session on the server.
    """

    person: str
    pid: int
    doing: Doing


@dataclass(frozen=True, slots=True)
class Approval:
    """
    Args:
        reason: why a run may not begin before another person has approved it.
        by: who has; None: nobody yet. `at`: server time of that, as ISO 8601.
    """

    reason: str
    by: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class OpenRange:
    """A range that has not reached its end; its parts as `ports.Lease` has them."""

    low: Key | None
    cursor: Key | None
    upto: Key


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that a run could not write, or that its undo left alone.

    Args:
        sqlstate: None where no error was the cause.
        attempts: how often it was tried alone.
        at: server time of the last one, as ISO 8601.
    """

    key: Key
    sqlstate: str | None
    reason: str
    attempts: int
    at: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """
    Args:
        cut: the keys it walks are fixed and cut into ranges; not so while it waits for older transactions.
        low: first key when the run began; None for an empty table, and before it was cut.
        ranges: how many it was cut into; `open`: those that have not reached their end.
        scanned: keys walked; `changed`: rows written.
        ahead: of the keys walked, those in windows in front of the cursors, which stand still until a window ends.
        lead: who leads it; `workers`: who works on its ranges; only such whose lease is live, see `Holder`.
        verify: what the last verification saw; None where none has run to its end since the run began.
        error: what stopped a failed run.
        ended_at: set for done, cancelled and undone.
        after: names of backfills that it comes after.
        verifiable: whether a predicate tells a row that was done from one that was not; None in runs of old.
        key_collations: by number, one for each column of the key; None in runs of old.
        column_numbers: by which the catalog knows the columns it writes; None in runs of old.
        sweeps: walks after the first one; only a run without a key makes any.
        rejects: rows that could not be written and that no later try has resolved.
        max_rejects: how many it may have of them; with one more it fails.
        unrestored: rows that could not take their old values in its undo; they are kept for the next one.
        left_alone: rows that its undo left as somebody had changed them since.
        settings: what was set while it went on; `pace` and `terms`: what the command lines said that led it.
        brake: by which somebody holds or slows its workers just now.
        approval: None where it needs none.
        doing: what `workers` are about.
    """

    run_id: int
    name: str
    spec: Spec
    fingerprint: str
    table_oid: int
    key: tuple[KeyColumn, ...]
    state: State
    want: Want
    cut: bool
    low: Key | None
    ranges: int
    open: tuple[OpenRange, ...]
    batches: int
    scanned: int
    changed: int
    rows_estimate: int | None
    journal: bool
    fence: int
    verify: Verdict | None
    error: str | None
    lead: Holder | None
    workers: tuple[Holder, ...]
    started_by: str
    started_at: datetime
    ended_at: datetime | None
    after: tuple[str, ...] = ()
    verifiable: bool | None = None
    sweeps: int = 0
    key_collations: tuple[int, ...] | None = None
    column_numbers: tuple[int, ...] | None = None
    rejects: int = 0
    max_rejects: int = 100
    unrestored: int = 0
    left_alone: int = 0
    settings: Settings = OPEN
    pace: Settings = OPEN
    brake: Brake | None = None
    approval: Approval | None = None
    doing: tuple[Busy, ...] = ()
    terms: Terms = UNSAID
    ahead: int = 0

    @property
    def newest_first(self) -> bool:
        return self.key[0].falling

    @property
    def by_block(self) -> bool:
        return self.key[0].name == PLACE.name

    @property
    def held(self) -> bool:
        """Somebody is at work on it."""
        return self.holder is not None

    @property
    def holder(self) -> Holder | None:
        """Who leads it, else one of those who work on it."""
        return self.lead or next(iter(self.workers), None)

    @property
    def people(self) -> tuple[str, ...]:
        """Who works on its ranges, each process once."""
        return tuple(dict.fromkeys(worker.person for worker in self.workers))

    @property
    def at_end(self) -> bool:
        """Every range reached its last key; nothing is left to write."""
        return self.cut and not self.open

    @property
    def by_key(self) -> float | None:
        """How far the cursors are along the keys, 0.0 to 1.0; None where that says nothing."""
        if not self.ranges:
            return None
        parts = [fraction(self.key, each.low or self.low, each.cursor, each.upto) for each in self.open]
        if None in parts and self.ranges == 1:
            return None
        return (self.ranges - len(parts) + sum(part or 0.0 for part in parts)) / self.ranges

    @property
    def shown(self) -> str:
        """The word an operator sees: `status.shown`."""
        if self.waits_for_approval and self.state not in ENDED:
            return "waiting for approval"
        return shown(self.state, self.want, held=self.held)

    @property
    def waits_for_approval(self) -> bool:
        return self.approval is not None and self.approval.by is None

    @property
    def hold(self) -> str | None:
        """Why all who work on it wait, as they wrote it down last; None where one works, or nobody is there."""
        if self.brake is not None and self.brake.share == 0:
            return self.brake.shown
        holds = [busy.doing.hold for busy in self.doing]
        return holds[0] if holds and None not in holds else None

    @property
    def doubles(self) -> bool:
        """To walk its rows from the first on would write some a second time, and to another value."""
        if not self.changed or not adds_up(self.spec):
            return False
        return self.state is not State.UNDONE or bool(self.unrestored or self.left_alone)

    @property
    def anew(self) -> str:
        """What follows `evolve backfill` where an ended run is wanted again; it never leads to a row that is written
        twice. `evolve.plan.require_sql` says the same in SQL.
        """
        if not self.doubles:
            return f"run {self.name} --restart"
        return (
            f"undo {self.name}" if self.journal and self.state is not State.UNDONE else f"status {self.name}"
        )

    @property
    def verified_clean(self) -> bool:
        """The cursor is at the end and the last verification found nothing left."""
        return self.at_end and self.verify is not None and self.verify.clean


@dataclass(frozen=True, slots=True)
class Event:
    at: datetime
    actor: str
    kind: str
    detail: str


class NoSuchRun(Misuse):
    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        listed = ", ".join(f'"{other}"' for other in known[:10])
        near = difflib.get_close_matches(name, known, n=1)
        super().__init__(
            f'there is no backfill "{name}" in this database',
            why=f"its journal knows {listed}" if known else "its journal holds no run at all",
            fix=f'did you mean "{near[0]}"?' if near else "list them: evolve backfill status",
        )


class SpecChanged(Refused):
    def __init__(self, old: RunRecord, new: Spec) -> None:
        ended = old.state in ENDED
        super().__init__(
            f'backfill "{new.name}" was started as something else: {"; ".join(differences(old.spec, new))}',
            why="rows up to its cursor were written by the old specification and would stay as they are",
            fix="give this one another --name, or "
            + (
                f"add --restart{', which writes rows again that the old one has written' if old.changed else ''}"
                if ended
                else f"end the old run (evolve backfill cancel {new.name}) and add --restart"
            ),
        )


class RunPaused(Refused):
    def __init__(self, record: RunRecord) -> None:
        super().__init__(
            f'backfill "{record.name}" is paused',
            why="somebody stopped it; starting it again has to be said in so many words",
            fix=f"evolve backfill resume {record.name}",
        )


class NotApproved(Refused):
    def __init__(self, record: RunRecord) -> None:
        reason = "" if record.approval is None else record.approval.reason
        super().__init__(
            f'backfill "{record.name}" waits for approval',
            why=f"{reason}, and another person than {record.started_by} is to look at it first",
            fix=f"let another person say: evolve backfill approve {record.name}",
        )


class RunFailed(Refused):
    def __init__(self, record: RunRecord) -> None:
        super().__init__(
            f'backfill "{record.name}" has failed: {record.error or "see its events"}',
            why="whoever joins a run does not start it again",
            fix=f"mend the cause, then: evolve backfill resume {record.name}",
        )


class RunEnded(Refused):
    def __init__(self, record: RunRecord, *, why: str | None = None, fix: str | None = None) -> None:
        when = f" at {record.ended_at:%Y-%m-%d %H:%M:%S %Z}" if record.ended_at else ""
        super().__init__(
            f'backfill "{record.name}" is {record.state.value}{when}',
            why=why or "its rows would be written a second time, from the first key on",
            fix=fix or over(record),
        )


def over(record: RunRecord) -> str:
    """How to start an ended run over."""
    if not record.doubles:
        return "start it over: evolve backfill run … --restart"
    if record.anew.startswith("undo "):
        return f"give its rows their old values first: evolve backfill {record.anew}"
    return "bring the rows that are left up to date by another --name, with a --where that finds no others"


class NotEnded(Refused):
    def __init__(self, record: RunRecord) -> None:
        super().__init__(
            f'backfill "{record.name}" is {record.shown}; only an ended run can be restarted',
            fix=f"evolve backfill resume {record.name}, or first evolve backfill cancel {record.name}",
        )


class BeingUndone(Refused):
    def __init__(self, record: RunRecord) -> None:
        super().__init__(
            f'backfill "{record.name}" is being undone',
            why="rows would be written forwards and restored at the same time",
            fix=f"finish it: evolve backfill undo {record.name}",
        )


class AlreadyRunning(Refused):
    def __init__(self, record: RunRecord, holder: Holder) -> None:
        super().__init__(
            f'backfill "{record.name}" is already worked on by {holder.person}',
            why="one process leads a run; its lease is renewed as it goes",
            fix=f"work on it together: evolve backfill work {record.name}; or watch it: evolve backfill status"
            f" {record.name} --watch",
        )


class WritesTheSame(Refused):
    def __init__(self, spec: Spec, other: RunRecord) -> None:
        columns = ", ".join(f'"{column}"' for column in spec.columns if column in other.spec.columns)
        own = "" if other.spec.table == spec.table else f' (as "{other.spec.table.plain}")'
        about = "tries its rejects again" if other.state in ENDED else f"is {other.shown}"
        super().__init__(
            f'backfill "{other.name}" writes {columns} of "{spec.table.plain}"{own} as well, and {about}',
            why=f'what a row ends up with would hang on which of it and "{spec.name}" comes to it last',
            fix=f"finish it: evolve backfill undo {other.name}"
            if other.state is State.UNDOING
            else f"let it end: evolve backfill status {other.name}"
            if other.state in ENDED
            else f"let it end (evolve backfill status {other.name}), or end it: evolve backfill cancel {other.name}",
        )


class TargetChanged(Refused):
    """
    Args:
        undoing: old values were about to go back.
    """

    def __init__(self, record: RunRecord, reason: str, *, undoing: bool = False) -> None:
        super().__init__(
            f'table "{record.spec.table.plain}" is not the one backfill "{record.name}" began with: {reason}',
            why="old values go back only where they were; nothing was written, and they are kept"
            if undoing
            else "its cursor means nothing there",
            fix=f"once the table is as it was: evolve backfill undo {record.name}"
            if undoing
            else f"evolve backfill cancel {record.name}, then "
            + (
                "bring the rows that are left up to date by another one, with a --where that finds no others"
                if record.doubles
                else "run it with --restart, which writes rows again that it has written"
            ),
        )


def differences(old: Spec, new: Spec) -> list[str]:
    """What a person would call different, field by field."""
    before, after = _fields(old), _fields(new)
    return [
        f"{field}: {before.get(field)} → {after.get(field)}"
        for field in dict.fromkeys([*after, *before])
        if before.get(field) != after.get(field)
    ]


def _fields(spec: Spec) -> dict[str, object]:
    work = {
        name.replace("_", " "): QualifiedName(**part).plain if isinstance(part, dict) else part
        for name, part in {"kind": work_json(spec.work)["kind"], **asdict(spec.work)}.items()
    }
    return {
        "name": spec.name,
        "table": spec.table.plain,
        **work,
        "set": ", ".join(f"{column} = {expression}" for column, expression in spec.assignments) or None,
        "where": spec.where,
        "key": spec.key,
        "mismatch": spec.mismatch,
    }


def may_start(latest: RunRecord | None, spec: Spec, *, restart: bool) -> RunRecord | None:
    """What `run` does with the latest run of that name: the run to go on with (a done one is returned as it is), or
    None for a new one.

    Raises:
        SpecChanged, NotApproved, RunPaused, RunEnded, NotEnded, BeingUndone
    """
    if latest is None:
        return None
    if latest.fingerprint != spec.fingerprint and not (restart and latest.state in ENDED):
        raise SpecChanged(latest, spec)
    if restart:
        if latest.state in ENDED:
            return None
        raise NotEnded(latest)
    if latest.waits_for_approval and latest.state not in ENDED:
        raise NotApproved(latest)
    match latest.state:
        case State.PAUSED:
            raise RunPaused(latest)
        case State.CANCELLED | State.UNDONE:
            raise RunEnded(latest)
        case State.UNDOING:
            raise BeingUndone(latest)
        case State.FENCING | State.RUNNING | State.VERIFYING | State.FAILED | State.DONE:
            return latest


def may_resume(record: RunRecord) -> None:
    """Ended runs stay ended, and a run that is being undone goes on backwards only.

    Raises:
        RunEnded, BeingUndone, NotApproved
    """
    if record.waits_for_approval and record.state not in ENDED:
        raise NotApproved(record)
    match record.state:
        case State.DONE:
            raise RunEnded(
                record,
                why="all of its rows were walked, so nothing is left to go on with",
                fix=f"see what it did: evolve backfill status {record.name}",
            )
        case State.CANCELLED | State.UNDONE:
            raise RunEnded(record)
        case State.UNDOING:
            raise BeingUndone(record)
        case State.FENCING | State.RUNNING | State.VERIFYING | State.PAUSED | State.FAILED:
            return
