"""What a run will take, worked out from batches that were tried at several places of the table and rolled back.

What a rolled-back batch cannot show is what commits bring: room on the same pages for what the next slice of a window
writes. That is added as measured on full runs, with a range that holds both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from math import sqrt
from statistics import median

from evolve.backfill.controller import LARGEST, SMALLEST, TARGET
from evolve.backfill.shapes import SLICES
from evolve.values import dataclass

_Factors = tuple[float, float, float]

CHECKPOINT = 0.0003  # seconds of the server for a checkpoint of the range, beside its way there and back
VACUUM_READ = 2  # vacuum_cost_page_miss; since PostgreSQL 14, and 10 before
MEASURED_LATER = 1.25  # what a place that was not looked at may cost more

# Windows against plain batches, by what full runs took: the least, the likely and the greatest part.
WINDOW_WAL = (0.5, 0.6, 1.0)
WINDOW_SECONDS = (0.6, 0.9, 1.25)
PLAIN_WAL = (0.9, 1.0, 1.1)
PLAIN_SECONDS = (0.7, 1.0, 1.25)
# Where no index is searched in vain, which of both is quicker is the machine's: how long it waits for its log.
EITHER_WAL = (0.5, 0.75, 1.1)
EITHER_SECONDS = (0.6, 1.0, 1.25)
# Of what the heap would grow by if every slice but the first found all the room that the one before left: the least and
# the likely part. Keys that go all over the table find room on pages of other batches as well.
WINDOW_HEAP = (0.8, 1.25)
SCATTERED_HEAP = (0.4, 0.8)


@dataclass(frozen=True, slots=True)
class Batch:
    """One that was tried.

    Args:
        keys: walked; `changed`: rows written.
        seconds: from its first statement to the last one before COMMIT.
        wal: bytes written to the log, with full-page images; what others wrote meanwhile is taken off.
        heap: bytes by which the table became longer.
        hot: rows whose new version found room on the same page.
    """

    keys: int
    changed: int
    seconds: float
    wal: float
    heap: int
    hot: int


@dataclass(frozen=True, slots=True)
class Place:
    """Batches one after the other at one place of the table.

    Args:
        name: where that is, for a person.
        settling: of other sizes, before; they count for nothing but what they leave behind.
        again: the last of `batches`, over again: its pages have had their full-page images.
        failed: why there are no more batches; None where all went well.
    """

    name: str
    batches: tuple[Batch, ...]
    again: tuple[Batch, ...] = ()
    settling: tuple[Batch, ...] = ()
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Caution:
    """Something of the table or the server that makes a run dearer than it looks.

    Args:
        kind: a word for programs.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Setting:
    """The table and the server that a run will meet.

    Args:
        rows: by statistics; None where there are none.
        heap, indexes: bytes, of all leaves together.
        windows: a stretch of keys may be written in several commits; `pays`: that is sure to be the quickest.
        in_order: the key follows the order of the table, so that each page is met once.
        adds_versions: what is written leaves an old version of the row behind; not so for copies.
        deletes: no new version is written.
        commit: seconds that a COMMIT takes, p50 and p90; None where it could not be tried.
        round_trip: seconds.
        undo_width: bytes a row that an undo journal would take; 0 without one.
        checkpoint_seconds, checkpoint_bytes: after which the server makes a checkpoint.
        vacuum_pages_per_second: that autovacuum reads and writes under its cost limit; None: without limit.
        vacuumed_above: dead row versions with which autovacuum begins; None where it is off.
        standbys: that stream; None where this role cannot see them.
        behind: bytes the slowest of them has yet to replay.
        replay: bytes per second that the slowest replays, infinite where it keeps up; None where none was seen.
    """

    rows: int | None
    heap: int
    indexes: int
    windows: bool
    pays: bool
    in_order: bool = True
    adds_versions: bool = True
    deletes: bool = False
    commit: tuple[float, float] | None = None
    round_trip: float = 0.0
    undo_width: float = 0.0
    checkpoint_seconds: float = 300.0
    checkpoint_bytes: float = 5e8
    vacuum_pages_per_second: float | None = None
    vacuumed_above: int | None = None
    block: int = 8192
    standbys: int | None = 0
    behind: int = 0
    replay: float | None = None
    cautions: tuple[Caution, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Limits:
    """How gently the run would go: as `Pace` has them."""

    duty: float = 1.0
    rows_per_second: float | None = None
    workers: int = 1
    commit_seconds: float = TARGET
    largest: int = LARGEST


@dataclass(frozen=True, slots=True)
class Range:
    """`least` and `most` hold what is to be expected, `likely` is the best guess."""

    least: float
    likely: float
    most: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """
    Args:
        rows: keys to be walked; `changed`: rows to be written.
        size: rows of a batch.
        batch_p50, batch_p90: seconds of a batch, with its COMMIT.
        rows_per_second: keys walked, at the likely speed, waits of the pace included.
        seconds: of the whole run, without verification.
        wal: bytes; `full_pages`: of the likely ones, those of full-page images.
        heap, indexes: bytes by which they grow. Room inside the table is used first.
        undo: bytes of the undo journal.
        dead: row versions that vacuum has to remove, the likely number.
        vacuum_seconds: of one vacuum at the pace of autovacuum; None: as fast as it can.
        left_behind: dead row versions that this dry run has left.
        catch_up: seconds a standby would need after the end of a run that does not wait for it; None where nothing
            could be seen.
        places: names and keys walked per second of each, in the order of the table.
    """

    rows: int
    changed: int
    size: int
    batch_p50: float
    batch_p90: float
    rows_per_second: float
    seconds: Range
    wal: Range
    full_pages: float
    heap: Range
    indexes: Range
    undo: float
    dead: int
    vacuum_seconds: float | None
    vacuumed_above: int | None
    standbys: int | None
    behind: int
    catch_up: float | None
    left_behind: int
    places: tuple[tuple[str, float], ...]
    failed: tuple[tuple[str, str], ...]
    cautions: tuple[Caution, ...]


def left_behind(places: Sequence[Place]) -> int:
    """Dead row versions of all batches that were tried."""
    return sum(batch.changed for place in places for batch in (*place.settling, *place.batches, *place.again))


def forecast(places: Sequence[Place], setting: Setting, limits: Limits) -> Forecast | None:
    """None where no batch could be tried, or the number of rows is not known."""
    tried = [place for place in places if place.batches]
    if not tried or not setting.rows:
        return None
    batches = [batch for place in tried for batch in place.batches]
    rows, each = setting.rows, [batch.seconds / batch.keys for batch in batches]
    # What the controller would come to: batches that are tried are kept smaller on a small table.
    size = min(max(round(limits.commit_seconds / median(each)), SMALLEST), limits.largest, rows)
    written = _mean([_share(place, lambda batch: batch.changed) for place in tried])
    changed = round(rows * written)
    commit = setting.commit or (0.0, 0.0)
    fixed = setting.round_trip + CHECKPOINT
    paces = [_share(place, lambda batch: batch.seconds) for place in tried]
    commits = rows / max(size, 1)
    walking, slow = _mean(paces) * rows, _ninth(each) * rows

    wal, full_pages, wal_range = _wal(tried, setting, rows, walking)
    factors = _factors(setting, WINDOW_SECONDS, EITHER_SECONDS, PLAIN_SECONDS)
    seconds = Range(
        _paced(
            min(paces) * rows * factors[0] + commits * (commit[0] + fixed), changed, limits, limits.workers
        ),
        # Workers share the server's disks and cores.
        _paced(
            walking * factors[1] + commits * (commit[0] + fixed),
            changed,
            limits,
            1 + 0.8 * (limits.workers - 1),
        ),
        _paced(
            max(slow, max(paces) * rows) * factors[2] + commits * (commit[1] + fixed), changed, limits, 1.0
        ),
    )
    catch_up = _catch_up(setting, wal, seconds.likely)
    if setting.replay:
        # A run waits for its standbys: it is not faster than they are.
        seconds = Range(
            seconds.least,
            max(seconds.likely, wal / setting.replay)
            if wal / setting.replay > seconds.most
            else seconds.likely,
            max(seconds.most, wal / setting.replay),
        )
    heap = _growth(tried, setting, changed)
    moved = heap.likely / max(heap.most, 1.0)
    indexes = Range(0.0, setting.indexes * written * moved, setting.indexes * written)
    if setting.deletes:
        indexes = Range(0.0, 0.0, 0.0)
    # What a slice leaves dead is pruned when the next one comes by, and takes no vacuum.
    dead = (
        0
        if not (setting.adds_versions or setting.deletes)
        else round(changed * (moved if heap.most else 1.0))
    )
    pages = (setting.heap + heap.likely + setting.indexes + indexes.likely) / setting.block
    return Forecast(
        rows=rows,
        changed=changed,
        size=size,
        batch_p50=median(each) * size + commit[0] + fixed,
        batch_p90=_ninth(each) * size + commit[1] + fixed,
        rows_per_second=rows / max(seconds.likely, 1e-9),
        seconds=seconds,
        wal=wal_range,
        full_pages=full_pages,
        heap=heap,
        indexes=indexes,
        undo=setting.undo_width * changed,
        dead=dead,
        vacuum_seconds=(pages / setting.vacuum_pages_per_second if setting.vacuum_pages_per_second else None),
        vacuumed_above=setting.vacuumed_above,
        standbys=setting.standbys,
        behind=setting.behind,
        catch_up=catch_up,
        left_behind=left_behind(places),
        places=tuple((place.name, 1 / max(pace, 1e-9)) for place, pace in zip(tried, paces, strict=True)),
        failed=tuple((place.name, place.failed) for place in places if place.failed is not None),
        cautions=setting.cautions,
    )


def _wal(tried: Sequence[Place], setting: Setting, rows: int, seconds: float) -> tuple[float, float, Range]:
    """The likely number of bytes, those of full-page images among them, and the range."""
    first = [_share(place, lambda batch: batch.wal) for place in tried]
    # Others' traffic only adds: the least of several is the truest.
    later = [
        min(batch.wal / batch.keys for batch in place.again) if place.again else share
        for place, share in zip(tried, first, strict=True)
    ]
    rest, images = _mean(later), max(0.0, _mean(first) - _mean(later))
    factors = _factors(setting, WINDOW_WAL, EITHER_WAL, PLAIN_WAL)
    least, likely, most = (rest * rows * factor for factor in factors)
    checkpoints = max(seconds / setting.checkpoint_seconds, likely / setting.checkpoint_bytes)
    # A page has one image for each checkpoint at most. Pages that the keys come back to have one each time.
    again = 1 + checkpoints
    greatest = setting.heap * (1 if setting.in_order else again) + setting.indexes * again
    full_pages = min(images * rows, greatest)
    # Images of a checkpoint that has just been made, or of none while the run goes on.
    span = Range(least + full_pages / 2, likely + full_pages, most + min(images * rows, greatest * 2))
    return span.likely, full_pages, span


def _factors(setting: Setting, window: _Factors, either: _Factors, plain: _Factors) -> _Factors:
    if not setting.windows:
        return plain
    return window if setting.pays else either


def _growth(tried: Sequence[Place], setting: Setting, changed: int) -> Range:
    """Bytes by which the heap grows."""
    if setting.deletes:
        return Range(0.0, 0.0, 0.0)
    batches = [batch for place in tried for batch in place.batches]
    written = sum(batch.changed for batch in batches)
    if not written:
        return Range(0.0, 0.0, 0.0)
    moved = written - sum(batch.hot for batch in batches)
    # The last page of each batch is half empty, on average.
    new = max(0.0, sum(batch.heap for batch in batches)) / written
    plain = new * changed
    if not setting.windows or not setting.adds_versions or not moved:
        return Range(plain * 0.8, plain, plain * MEASURED_LATER)
    # The first slice finds no room; each later one what the slice before left, as far as rows did not get wider.
    old = setting.heap / max(setting.rows or 1, 1)
    wider = max(1.0, new / old) if old else 1.0
    windows = plain * (1 / SLICES + (1 - 1 / SLICES) * (1 - 1 / wider))
    least, guess = WINDOW_HEAP if setting.in_order else SCATTERED_HEAP
    likely = min(windows * guess, plain)
    if not setting.pays:
        likely = sqrt(likely * plain)
    return Range(windows * least, likely, plain * MEASURED_LATER)


def _catch_up(setting: Setting, wal: float, seconds: float) -> float | None:
    if not setting.standbys or not setting.replay:
        return None
    return max(0.0, (setting.behind + wal) / setting.replay - seconds)


def _paced(seconds: float, changed: int, limits: Limits, workers: float) -> float:
    paced = seconds / limits.duty / workers
    return max(paced, changed / limits.rows_per_second) if limits.rows_per_second else paced


def _share(place: Place, what: Callable[[Batch], float]) -> float:
    """Of the batches at one place, per key walked."""
    return sum(what(batch) for batch in place.batches) / max(sum(batch.keys for batch in place.batches), 1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _ninth(values: Sequence[float]) -> float:
    """The 90th percentile."""
    return sorted(values)[min(len(values) - 1, round(0.9 * (len(values) - 1)))]
