"""Reads revisions through the cache: what is known is taken from it, what is not is read and put there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evolve.revisions.apart import Early, capture_apart
from evolve.revisions.cache.chain import Chain
from evolve.revisions.cache.fingerprint import fingerprint
from evolve.revisions.cache.store import Store
from evolve.revisions.history import RevisionFile
from evolve.revisions.project import Project
from evolve.sql.schema import Schema
from evolve.sql.steps import Recording


def read_through(
    project: Project,
    revisions: Sequence[RevisionFile],
    first: int,
    time_limit: float,
    store: Store,
    meanwhile: Callable[[], object] = lambda: None,
    hear: Callable[[Recording], object] = lambda _: None,
    early: Early | None = None,
) -> tuple[Schema, list[Recording]] | None:
    """The schema before the place `first` and the recordings from there on; None where the cache is of no use.

    Alembic is imported only where something has to be read, and `meanwhile` called only then. `hear` is told of what is
    read where that is everything: else the first of it is not what comes first.
    """
    printed = fingerprint(project, time_limit, store)
    if printed is None:
        return None
    chain = Chain(store, printed, revisions)
    known = chain.known()
    if not chain.go_on_at(known):
        return None
    read: list[Recording] = []
    if known < len(revisions):
        damaged: list[Schema] = []

        def begin() -> Schema:
            found = _schema_at(chain, known, known, [])
            if found is None:
                damaged.append(found := Schema())
            return found

        read = capture_apart(
            project,
            revisions[known:],
            time_limit=time_limit,
            begin=begin if known else Schema,
            early=early,
            memory=chain,
            meanwhile=meanwhile,
            hear=hear if not known else lambda _: None,
        )
        if damaged:
            store.forget()
            return None
    before = _schema_at(chain, first, known, read)
    kept = chain.recordings(first, known)
    if before is None or len(kept) != max(known - first, 0):
        return None
    store.flush()
    return before, [*kept, *read[max(first - known, 0) :]]


def _schema_at(chain: Chain, place: int, known: int, read: Sequence[Recording]) -> Schema | None:
    """The schema before `place`, replayed from the latest that is kept; None where a recording is damaged.

    Args:
        known: up to which place recordings are kept; those from there on are `read`.
    """
    schema, at = chain.schema_before(place)
    if at == place:
        return schema
    kept = chain.recordings(at, min(place, known))
    recordings = [*kept, *read[max(at - known, 0) : max(place - known, 0)]]
    if len(recordings) != place - at:
        return None
    from evolve.sql.read import follow

    for recording in recordings:
        follow(schema, recording)
    chain.keep_schema(place, schema)
    return schema
