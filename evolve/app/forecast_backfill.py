"""Try batches of a backfill at three places of its table, roll them back, and say what the whole run will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from evolve.app.backfill_function import computing
from evolve.app.backfill_work import Pace
from evolve.app.backfill_worker import largest
from evolve.backfill.controller import Controller
from evolve.backfill.forecast import Forecast, Limits, Place, forecast, left_behind
from evolve.backfill.ports import Leaf, Stop, Stretch, Watch
from evolve.backfill.spec import Spec, has_effects
from evolve.backfill.transform import Transform
from evolve.backfill.works import InsertSelect
from evolve.counted import counted
from evolve.postgres.backfill_target import Target
from evolve.postgres.change_of import change_of
from evolve.postgres.failure import translated
from evolve.postgres.forecast_facts import read_setting, table_oid
from evolve.postgres.leaves import first_ground, target_of
from evolve.postgres.sampling import Sampler, replay_rate
from evolve.postgres.session import Session
from evolve.postgres.walking import places_of

WHERE = ("beginning", "middle", "end")
CATCH_UP = 3.0  # seconds a standby is watched for
SHARE = 0.002  # of the table in one batch at most: all of them leave dead rows behind
ENOUGH = 500  # rows of a batch that tell enough, in a small table


def forecast_backfill(
    session: Session,
    spec: Spec,
    target: Target,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    *,
    journal: bool,
    rows_per_second: float,
) -> Forecast | None:
    """None where nothing could be tried: an empty table, no statistics, or effects outside of the database; and where
    somebody stops it.

    A function that has effects outside of the database is not called. Each batch is a transaction of its own, and holds
    its rows no longer than a batch of the run would.

    Args:
        rows_per_second: what was seen of it so far; the first batch is as large as that says.

    Raises:
        DatabaseFailure: the server, or something that every batch would meet.
    """
    if has_effects(spec):
        watch.say(
            "no forecast: the function acts outside of the database, and a dry run calls nobody out there"
        )
        return None
    if not target.rows_estimate:
        watch.say(f'no forecast: "{target.table.plain}" has no statistics: ANALYZE {target.table}')
        return None
    connection = session.current()
    with translated(connection), computing(spec, target) as compute:
        setting = read_setting(connection, spec, target, first_ground(connection, target), journal=journal)
        most = largest(pace.largest, spec)
        tried = min(most, max(ENOUGH, round(target.rows_estimate * SHARE)))
        first = max(1, round(rows_per_second * pace.commit_seconds))
        controller = Controller(target=pace.commit_seconds, largest=tried, first=first)
        sampler = Sampler(session, controller, stop)
        own = table_oid(connection, spec.work.into) if isinstance(spec.work, InsertSelect) else None
        places: list[Place] = []
        for name, ground, stretch in _places(session, target):
            change = change_of(spec, ground, None, compute, lease_seconds=pace.lease_seconds)
            places.append(sampler.place(name, ground, change, stretch, own or ground.oid))
        if stop.requested() is not None:
            watch.say(f"no forecast: stopped; {_left(places)}")
            return None
        commits = sampler.commits()
        replay = replay_rate(connection, stop, time.monotonic, CATCH_UP)
        setting = replace(
            setting,
            commit=None if not commits else (median(commits), sorted(commits)[-1]),
            round_trip=sampler.round_trip(),
            replay=replay,
        )
    rates = [pace.rows_per_second, spec.work.rate if isinstance(spec.work, Transform) else None]
    known = [rate for rate in rates if rate is not None]
    limits = Limits(pace.duty, min(known, default=None), pace.workers, pace.commit_seconds, most)
    found = forecast(places, setting, limits)
    if found is None:
        for place in places:
            if place.failed is not None:
                watch.say(f"no forecast: {place.failed}")
        if left_behind(places):
            watch.say(_left(places))
    return found


def _left(places: list[Place]) -> str:
    return f"{counted(left_behind(places), 'dead row version')} left for vacuum"


def _places(session: Session, target: Target) -> Iterator[tuple[str, Target, Stretch]]:
    """Three places in the order of the walk, each with the table that its rows are in."""
    connection = session.current()
    leaves: list[tuple[Leaf, Target]] = []
    for leaf in target.leaves:
        ground = target_of(connection, target, leaf)
        if ground is not None and ground.rows_estimate:
            leaves.append((leaf, ground))
    if not leaves:
        stretches = places_of(connection, target, len(WHERE))
        names = WHERE if len(stretches) == len(WHERE) else [str(n + 1) for n in range(len(stretches))]
        yield from ((name, target, stretch) for name, stretch in zip(names, stretches, strict=True))
        return
    # The largest ones are most of the work.
    largest_first = sorted(leaves, key=lambda each: each[1].pages, reverse=True)
    for leaf, ground in largest_first[: len(WHERE)]:
        stretches = places_of(connection, ground, len(WHERE), leaf)
        for stretch in stretches[len(stretches) // 2 :][:1]:
            yield leaf.name.plain, ground, stretch
