"""The range partitioner keeps the published contract for every interval and zone, to the ends of the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from evolve_partition_range import plugin
from evolve_partition_range.partitioner import Range
from hypothesis import given
from hypothesis import strategies as st

from evolve.plugin_api import (
    MAX_BYTES,
    Column,
    NotAdopted,
    Partition,
    Problems,
    Profile,
    QualifiedName,
    RangeBound,
    TableInfo,
    TooManyPartitions,
    first_overlap,
    gaps,
    tiles,
)
from evolve.testing.partitioner_contract import PartitionerContract

COLUMNS = (
    Column("id", "bigint", not_null=True),
    Column("small", "smallint", not_null=True),
    Column("created_at", "timestamp with time zone", not_null=True),
    Column("local_at", "timestamp without time zone", not_null=True),
    Column("day", "date", not_null=True),
    Column("note", "text"),
)
TABLE = TableInfo(QualifiedName("orders"), COLUMNS, ("id",))
NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)


def made(**options: object) -> Range:
    answer = Range.parse(options, TABLE)
    assert isinstance(answer, Range), answer
    return answer


def problems(**options: object) -> dict[str, str]:
    answer = Range.parse(options, TABLE)
    assert isinstance(answer, Problems), answer
    return {problem.field: problem.message for problem in answer.found}


class TestMonths(PartitionerContract):
    partitioner = made(key="created_at", interval="1 month", timezone="Europe/Berlin")
    profiles = (
        Profile(),
        Profile(datetime(2024, 2, 29, 22, tzinfo=UTC), datetime(2026, 12, 31, 23, 30, tzinfo=UTC), rows=9),
    )


class TestHours(PartitionerContract):
    partitioner = made(key="created_at", interval="hour", timezone="Europe/Berlin", premake="2 days")
    profiles = (Profile(), Profile(datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 10, 26, tzinfo=UTC)))
    moments = (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC))


class TestIntegers(PartitionerContract):
    partitioner = made(key="id", interval=1_000_000)
    profiles = (
        Profile(),
        Profile(-5, 7_300_000),
        Profile(2**63 - 10, 2**63 - 1),
        Profile(-(2**63), 5 - 2**63),
    )


class TestDates(PartitionerContract):
    partitioner = made(key="day", interval="week")
    profiles = (Profile(), Profile(date(2024, 12, 30), date(2026, 1, 4)))


class TestLocalQuarters(PartitionerContract):
    partitioner = made(key="local_at", interval="quarter", timezone="America/Sao_Paulo")
    profiles = (Profile(), Profile(datetime(2018, 2, 18), datetime(2018, 11, 4)))  # noqa: DTZ001


def test_plugin_offers_the_method() -> None:
    assert [kind.kind for kind in plugin.partitioners] == ["range"]


@pytest.mark.parametrize(
    ("interval", "key", "name"),
    [
        ("1 year", "created_at", "orders_p2026"),
        ("quarter", "created_at", "orders_p2026_q4"),
        ("1 month", "created_at", "orders_p2026_11"),
        ("2 weeks", "day", "orders_p2026_11_09"),
        ("week", "day", "orders_p2026w47"),
        ("day", "local_at", "orders_p2026_11_22"),
        ("hour", "created_at", "orders_p2026_11_22_14"),
        ("6 hours", "created_at", "orders_p2026_11_22_12"),
        (250, "id", "orders_p0"),
    ],
)
def test_names_tell_the_interval(interval: object, key: str, name: str) -> None:
    first = made(key=key, interval=interval).initial("orders", Profile(), NOW)[0]
    assert first.name == name


def test_midnight_is_that_of_the_zone() -> None:
    berlin = made(key="created_at", interval="month", timezone="Europe/Berlin")
    # 23:30 UTC on 31 October is 00:30 on 1 November in Berlin.
    first = berlin.wanted(datetime(2026, 10, 31, 23, 30, tzinfo=UTC), Profile())[0]
    assert first == RangeBound(datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC))


def test_day_of_the_clock_change_has_25_hours() -> None:
    day = made(key="created_at", interval="day", timezone="Europe/Berlin")
    bound = day.wanted(datetime(2026, 10, 25, 12, tzinfo=UTC), Profile())[0]
    assert isinstance(bound, RangeBound)
    assert bound.upper - bound.lower == timedelta(hours=25)


def test_a_day_that_a_zone_skipped_has_no_partition() -> None:
    samoa = made(key="created_at", interval="day", timezone="Pacific/Apia")
    names = [p.name for p in samoa.initial("t", Profile(), datetime(2011, 12, 29, 12, tzinfo=UTC))]
    assert names == ["t_p2011_12_29", "t_p2011_12_31", "t_p2012_01_01"]


def test_the_last_partition_of_the_calendar_is_open() -> None:
    months = made(key="local_at", interval="month")
    last = months.wanted(datetime(9999, 12, 30, tzinfo=UTC), Profile())[-1]
    assert last == RangeBound(datetime(9999, 12, 1), None)  # noqa: DTZ001


def test_the_last_partition_of_smallint_is_open() -> None:
    wanted = made(key="small", interval=10_000).wanted(NOW, Profile(-32768, 32767))
    assert (wanted[0], wanted[-1]) == (RangeBound(None, -30000), RangeBound(30000, None))


def test_adopted_bound_leaves_room_for_what_comes() -> None:
    bound = made(key="created_at", interval="month").adopt(Profile(), NOW)
    assert bound == RangeBound(None, datetime(2027, 2, 1, tzinfo=UTC))


def test_no_adopted_bound_at_the_end_of_the_keys() -> None:
    answer = made(key="id", interval=2**62).adopt(Profile(1, 2**63 - 1), NOW)
    assert isinstance(answer, NotAdopted)


def test_a_stray_row_far_off_does_not_make_a_million_partitions() -> None:
    stray = Profile(datetime(1, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(TooManyPartitions, match="partitions"):
        made(key="created_at", interval="hour").wanted(NOW, stray)


def test_a_partition_that_crosses_is_a_conflict() -> None:
    months = made(key="created_at", interval="month")
    there = Partition("hand_made", RangeBound(NOW, NOW + timedelta(days=1)))
    due = months.due("orders", [there], NOW, Profile())
    assert [(c.wanted.name, c.existing.name) for c in due.conflicts] == [("orders_p2026_11", "hand_made")]


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"interval": "1 month"}, "key", "name the column"),
        ({"key": "nope", "interval": "1 month"}, "key", "no column"),
        ({"key": "note", "interval": "1 month"}, "key", "of type text"),
        ({"key": "created_at"}, "interval", "how wide"),
        ({"key": "created_at", "interval": "fortnight"}, "interval", "not a span"),
        ({"key": "created_at", "interval": "0 days"}, "interval", "not a span"),
        ({"key": "id", "interval": "1 month"}, "interval", "number of keys"),
        ({"key": "id", "interval": True}, "interval", "number of keys"),
        ({"key": "day", "interval": "1 hour"}, "interval", "shorter than a day"),
        ({"key": "created_at", "interval": "day", "premake": 3}, "premake", "not a span"),
        ({"key": "created_at", "interval": "day", "timezone": "Mars/Base"}, "timezone", "not a time zone"),
        ({"key": "created_at", "interval": "day", "premade": "3 days"}, "premade", 'did you mean "premake"'),
    ],
)
def test_wrong_options_are_told_by_field(options: dict[str, object], field: str, said: str) -> None:
    assert said in problems(**options)[field]


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "America/Sao_Paulo")
STEPS = ("hour", "5 hours", "day", "3 days", "week", "month", "5 months", "quarter", "year", "7 years")
instants = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28)).map(lambda d: d.replace(tzinfo=UTC))  # noqa: DTZ001


@given(
    key=st.sampled_from(["created_at", "local_at", "day"]),
    step=st.sampled_from(STEPS),
    zone=st.sampled_from(ZONES),
    now=instants,
    back=st.integers(0, 400),
    ahead=st.integers(0, 400),
)
def test_time_ranges_tile(key: str, step: str, zone: str, now: datetime, back: int, ahead: int) -> None:
    if key == "day" and "hour" in step:
        return
    partitioner = made(key=key, interval=step, timezone=zone)
    unit = timedelta(hours=1) if "hour" in step else timedelta(days=1)
    ends = []
    for moment in (_shift(now, -back * unit), _shift(now, ahead * unit)):
        local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        ends.append({"created_at": moment, "local_at": local, "day": local.date()}[key])
    profile = Profile(*ends)
    partitions = partitioner.initial("orders", profile, now)

    assert first_overlap(partitions) is None
    assert not gaps(partitions)
    names = [partition.name for partition in partitions]
    assert len(set(names)) == len(names)
    assert not partitioner.due("orders", partitions, now, profile).create
    low, high = partitions[0].bound, partitions[-1].bound
    assert isinstance(low, RangeBound)
    assert isinstance(high, RangeBound)
    assert low.lower is None or low.lower <= ends[0]
    assert high.upper is None or ends[1] < high.upper


@given(
    step=st.integers(1, 2**62),
    low=st.integers(-(2**63), 2**63 - 1),
    width=st.integers(0, 500),
    table=st.text(min_size=1, max_size=63).filter(
        lambda t: len(t.encode(errors="ignore")) > 0 and "\0" not in t
    ),
)
def test_integer_ranges_tile(step: int, low: int, width: int, table: str) -> None:
    partitioner = made(key="id", interval=step)
    high = min(low + width * step, 2**63 - 1)
    table = table.encode(errors="ignore")[:MAX_BYTES].decode(errors="ignore")
    partitions = partitioner.initial(table, Profile(low, high), NOW)

    assert first_overlap(partitions) is None
    assert not gaps(partitions)
    assert all(len(partition.name.encode()) <= MAX_BYTES for partition in partitions)
    assert len({partition.name for partition in partitions}) == len(partitions)


@given(data=st.data(), step=st.integers(1, 2**40), low=st.integers(-(2**63), 2**63 - 2))
def test_any_range_of_integers_splits_into_what_tiles_it_and_merges_back(
    data: st.DataObject, step: int, low: int
) -> None:
    high = data.draw(st.integers(low + 1, min(low + 300 * step, 2**63 - 1)))
    whole = RangeBound(low, data.draw(st.sampled_from([high, None])) if high == 2**63 - 1 else high)
    _splits_and_merges(made(key="id", interval=step), whole, Profile(low, high - 1))


@given(
    key=st.sampled_from(["created_at", "local_at", "day"]),
    step=st.sampled_from(STEPS),
    zone=st.sampled_from(ZONES),
    low=instants,
    days=st.integers(1, 300),
    open_below=st.booleans(),
)
def test_any_time_splits_into_what_tiles_it_and_merges_back(
    key: str, step: str, zone: str, low: datetime, days: int, open_below: bool
) -> None:
    if key == "day" and "hour" in step:
        return
    high = _shift(low, timedelta(days=days))
    ends = [
        {
            "created_at": moment,
            "local_at": moment.replace(tzinfo=None),
            "day": moment.date(),
        }[key]
        for moment in (low, high)
    ]
    if ends[0] == ends[1]:
        return
    whole = RangeBound(None if open_below else ends[0], ends[1])
    _splits_and_merges(made(key=key, interval=step, timezone=zone), whole, Profile(*ends))


def _splits_and_merges(partitioner: Range, whole: RangeBound, profile: Profile) -> None:
    pieces = partitioner.split(Partition("whole", whole), profile, NOW, {})
    if isinstance(pieces, Problems):
        return
    assert len(pieces) > 1
    assert tiles(whole, pieces)
    parts = [Partition(partitioner.name("orders", piece), piece) for piece in pieces]
    assert first_overlap(parts) is None
    assert len({part.name for part in parts}) == len(parts)
    assert max(len(part.name.encode()) for part in parts) <= MAX_BYTES
    assert partitioner.merge(parts) == whole


def _shift(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return moment
