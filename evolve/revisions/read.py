"""From a selection of revisions to their recordings, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from evolve.revisions.history import History, RevisionFile, read_history
from evolve.revisions.light_start import light_start
from evolve.revisions.project import Project
from evolve.revisions.select import Selection, select
from evolve.sql.steps import Recording
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.revisions.apart import Early, Hear
    from evolve.revisions.cache.store import Store
    from evolve.revisions.capture import Direction
    from evolve.revisions.reflection import Reflection
    from evolve.sql.schema import Schema

Meanwhile = Callable[[], object]


def read(
    project: Project,
    selection: Selection,
    *,
    history: History | None = None,
    time_limit: float = 10.0,
    reflect: Reflection | None = None,
) -> list[Recording]:
    """Read the revisions of `selection`, each after those it needs.

    Args:
        history: the project's, where the caller has read it already.
        time_limit: seconds for each revision.

    Raises:
        all that `read_history` and `select` raise; what a revision itself raises is a remark on its recording.
    """
    chosen = select(project, history or read_history(project), selection)
    return record(project, chosen, time_limit=time_limit, reflect=reflect)


def record(
    project: Project,
    revisions: Sequence[RevisionFile],
    *,
    time_limit: float = 10.0,
    reflect: Reflection | None = None,
    sandbox: bool = False,
    meanwhile: Meanwhile = lambda: None,
    hear: Hear = lambda _: None,
    early: Early | None = None,
) -> list[Recording]:
    """Read `revisions` in the order given; nothing of Alembic or SQLAlchemy is imported where there are none.

    Args:
        reflect: answers questions about the schema. Without it a history read from its base answers them itself; what
            is only a part of one cannot, and each is answered as by an empty database.
        sandbox: let the kernel refuse what reading does not need.
        meanwhile: called while another process imports Alembic.
        hear, early: as those of `capture_apart`.

    Raises:
        NoSandbox: this platform cannot.
    """
    if not revisions:
        return []
    if sandbox:
        from evolve.sql.schema import Schema

        begin = Schema if _from_base(revisions) else None
        return _contained(project, revisions, time_limit, begin, meanwhile=meanwhile, hear=hear)
    if reflect is None:
        from evolve.revisions.apart import capture_apart
        from evolve.sql.schema import Schema

        begin = Schema if _from_base(revisions) else None
        return capture_apart(
            project,
            revisions,
            time_limit=time_limit,
            begin=begin,
            early=early,
            meanwhile=meanwhile,
            hear=hear,
        )
    with light_start():
        from evolve.revisions.capture import capture

    return capture(project, revisions, time_limit=time_limit, reflect=reflect)


def record_downgrades(
    project: Project,
    revisions: Sequence[RevisionFile],
    begin: Callable[[], Schema],
    *,
    time_limit: float = 10.0,
    sandbox: bool = False,
) -> list[Recording]:
    """What the `downgrade()` of each of `revisions` sends, those that define one; the last of them is run first.

    Args:
        revisions: in the order in which they are applied.
        begin: the schema after the last of them.
    """
    if not revisions:
        return []
    backwards = revisions[::-1]
    if sandbox:
        recordings = _contained(project, backwards, time_limit, begin, "downgrade")
    else:
        from evolve.revisions.apart import capture_apart

        recordings = capture_apart(
            project, backwards, direction="downgrade", time_limit=time_limit, begin=begin
        )
    return [recording for recording in recordings if not _defines_none(recording)]


def _contained(
    project: Project,
    revisions: Sequence[RevisionFile],
    time_limit: float,
    begin: Callable[[], Schema] | None,
    direction: Direction = "upgrade",
    meanwhile: Meanwhile = lambda: None,
    hear: Hear = lambda _: None,
) -> list[Recording]:
    from evolve.revisions.apart import capture_apart
    from evolve.revisions.sandbox import sandboxed

    start = sandboxed(project, revisions, time_limit=time_limit, asks=begin is not None, direction=direction)
    return capture_apart(
        project,
        revisions,
        direction=direction,
        time_limit=time_limit,
        begin=begin,
        start=start,
        meanwhile=meanwhile,
        hear=hear,
    )


def _defines_none(recording: Recording) -> bool:
    return any(remark.detail == "it defines no downgrade()" for remark in recording.remarks)


@dataclass(frozen=True, slots=True)
class Reading:
    """`recordings` of the last of some revisions, and the `schema` before the first of these."""

    schema: Schema
    recordings: list[Recording]


def record_from(
    project: Project,
    revisions: Sequence[RevisionFile],
    first: int,
    *,
    time_limit: float = 10.0,
    store: Store | None = None,
    sandbox: bool = False,
    meanwhile: Meanwhile = lambda: None,
    hear: Hear = lambda _: None,
    early: Early | None = None,
) -> Reading:
    """Read `revisions` in the order given, for those from the place `first` on.

    Args:
        store: readings of earlier runs, which are taken where they are sure to be the same, and to which this one is
            added.
        meanwhile: called while another process imports Alembic, where one has to.
        hear: as that of `capture_apart`; not called where readings of earlier runs are of use.
        early: as that of `capture_apart`.
        sandbox: let the kernel refuse what reading does not need; readings of earlier runs are left aside.
    """
    if store is not None and not sandbox and revisions and _from_base(revisions):
        from evolve.revisions.cache.reading import read_through

        found = read_through(project, revisions, first, time_limit, store, meanwhile, hear, early)
        if found is not None:
            return Reading(*found)
    recordings = record(
        project,
        revisions,
        time_limit=time_limit,
        sandbox=sandbox,
        meanwhile=meanwhile,
        hear=hear,
        early=early,
    )
    # The parser is there by now: it was imported while Alembic was.
    from evolve.sql.read import follow
    from evolve.sql.schema import Schema

    schema = Schema()
    for recording in recordings[:first]:
        follow(schema, recording)
    return Reading(schema, recordings[first:])


def _from_base(revisions: Sequence[RevisionFile]) -> bool:
    given = {file.revision for file in revisions}
    return all(given.issuperset(file.down_revisions) for file in revisions)
