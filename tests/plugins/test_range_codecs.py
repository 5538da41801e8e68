"""Range partitions by the time in a key: the least key of each interval is its bound, for every kind of key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from evolve_partition_range.codecs import Codec, read_codec
from evolve_partition_range.partitioner import Range
from hypothesis import assume, given
from hypothesis import strategies as st

from evolve.plugin_api import (
    Column,
    DefaultBound,
    Partition,
    Problems,
    Profile,
    QualifiedName,
    RangeBound,
    TableInfo,
    UnreadableKey,
    first_overlap,
    gaps,
    tiles,
)
from evolve.testing.partitioner_contract import PartitionerContract

TABLE = TableInfo(
    QualifiedName("events"),
    (
        Column("uid", "uuid", not_null=True),
        Column("ulid", "character(26)", not_null=True, collation="C"),
        Column("word", "text", not_null=True),
        Column("id", "bigint", not_null=True),
        Column("seconds", "integer", not_null=True),
        Column("at", "timestamp with time zone", not_null=True),
        Column("day", "date", not_null=True),
    ),
    ("id",),
)
NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def made(**options: object) -> Range:
    answer = Range.parse({"interval": "month", **options}, TABLE)
    assert isinstance(answer, Range), answer
    return answer


def uuid7(moment: datetime, rest: int = 0) -> UUID:
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | rest)


class TestUuids(PartitionerContract):
    partitioner = made(
        key="uid", codec="uuidv7", interval="day", timezone="Europe/Berlin", retention="30 days"
    )
    profiles = (Profile(), Profile(uuid7(datetime(2024, 2, 29, tzinfo=UTC)), uuid7(NOW, 2**62 - 1)))
    moments = (datetime(2026, 3, 29, 1, tzinfo=UTC), NOW)


class TestUlids(PartitionerContract):
    partitioner = made(key="ulid", codec="ulid")
    profiles = (Profile(), Profile("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01KAQYYS00ZZZZZZZZZZZZZZZZ"))


class TestSnowflakes(PartitionerContract):
    partitioner = made(key="id", codec="snowflake", interval="week")
    profiles = (Profile(), Profile(1_541_815_603_606_036_480, 1_741_815_603_606_036_480))


class TestSeconds(PartitionerContract):
    partitioner = made(key="seconds", codec="epoch_s", interval="quarter", premake="2 years")
    profiles = (Profile(), Profile(1_795_300_000, 1_895_400_000), Profile(-(2**31), 2**31 - 1))
    # The last moment that an integer holds is past 03:14:07 on 19 January 2038.
    moments = (NOW, datetime(2038, 1, 18, 23, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("key", "codec", "lower"),
    [
        ("uid", "uuidv7", UUID("019a3cd5-1400-0000-0000-000000000000")),
        ("uid", "ulid", UUID("019a3cd5-1400-0000-0000-000000000000")),
        ("id", "epoch_s", 1_793_491_200),
        ("seconds", "epoch_s", 1_793_491_200),
        ("id", "epoch_ms", 1_793_491_200_000),
        ("id", "epoch_us", 1_793_491_200_000_000),
        ("id", "snowflake:2026-10-31", 86_400_000 << 22),
        ("id", "snowflake", (1_793_491_200_000 - 1_288_834_974_657) << 22),
    ],
)
def test_a_bound_is_the_least_key_of_its_moment(key: str, codec: str, lower: object) -> None:
    first = made(key=key, codec=codec).initial("events", Profile(), NOW)[0]
    assert isinstance(first.bound, RangeBound)
    if isinstance(lower, UUID):
        lower = UUID(int=1_793_491_200_000 << 80)
    assert (first.name, first.bound.lower) == ("events_p2026_11", lower)


def test_a_ulid_is_written_in_its_own_alphabet() -> None:
    codec = read_codec("ulid", "text")
    assert isinstance(codec, Codec)
    assert codec.encode(datetime(2016, 7, 30, 23, 54, 10, 259000, tzinfo=UTC)) == "01ARZ3NDEK" + "0" * 16
    assert codec.decode("01ARZ3NDEKTSV4RRFFQ69G5FAV") == datetime(2016, 7, 30, 23, 54, 10, 259000, tzinfo=UTC)


@pytest.mark.parametrize(
    "key", ["01aryz6s41tsv4rrffq69g5fav", "81ARYZ6S41TSV4RRFFQ69G5FAV", "01ARYZ6S41", "U" * 26]
)
def test_what_is_no_ulid_is_refused(key: str) -> None:
    with pytest.raises(UnreadableKey, match=key):
        made(key="ulid", codec="ulid").wanted(NOW, Profile(key, key))


def test_a_random_uuid_is_refused() -> None:
    stray = UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479")
    with pytest.raises(UnreadableKey, match="no uuidv7"):
        made(key="uid", codec="uuidv7").wanted(NOW, Profile(uuid7(NOVEMBER), stray))


def test_an_integer_of_no_year_is_refused() -> None:
    with pytest.raises(UnreadableKey, match="years 1 to 9999"):
        made(key="id", codec="epoch_s").wanted(NOW, Profile(0, 2**63 - 1))


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"key": "uid"}, "key", "of type uuid"),
        ({"key": "uid", "codec": "uuid7"}, "codec", "known are uuidv7, ulid"),
        ({"key": "word", "codec": "uuidv7"}, "codec", "needs a column of type uuid"),
        ({"key": "word", "codec": "ulid"}, "codec", 'COLLATE "C"'),
        ({"key": "at", "codec": "epoch_s"}, "codec", "needs a column of type bigint"),
        ({"key": "id", "codec": "snowflake:then"}, "codec", "not the day"),
        ({"key": "seconds", "codec": "snowflake"}, "codec", "needs a column of type bigint"),
        ({"key": "id", "codec": "epoch_s", "interval": 1000}, "interval", "not a span"),
        ({"key": "at", "retention": "long"}, "retention", "not a span"),
        ({"key": "at", "retention": {"kep": "1 day"}}, "retention.kep", 'did you mean "keep"'),
        ({"key": "at", "retention": {}}, "retention.keep", "how long"),
        ({"key": "id", "interval": 10, "retention": "1 day"}, "retention", "number of keys"),
    ],
)
def test_wrong_options_are_told_by_field(options: dict[str, object], field: str, said: str) -> None:
    answer = Range.parse({"interval": "month", **options}, TABLE)
    assert isinstance(answer, Problems)
    assert said in {problem.field: problem.message for problem in answer.found}[field]


def test_a_partition_is_past_once_all_of_it_is() -> None:
    months = made(key="uid", codec="uuidv7", retention={"keep": "2 months"})
    there = months.initial("events", Profile(uuid7(datetime(2026, 7, 4, tzinfo=UTC))), NOW)
    past = months.past(there, NOW, Profile())
    assert [(found.partition.name, found.reason) for found in past] == [
        (f"events_p2026_{month}", "all its rows are older than 2 months") for month in ("07", "08")
    ]


def test_integers_age_by_the_greatest_key() -> None:
    thousands = made(key="id", interval=1000, retention="2500")
    there = thousands.initial("events", Profile(0, 5500), NOW)
    assert [p.name for p in thousands.due("events", there, NOW, Profile(0, 5500)).detach] == [
        "events_p0",
        "events_p1000",
        "events_p2000",
    ]
    assert not thousands.past(there, NOW, Profile())


def test_history_is_split_by_the_rows_it_holds() -> None:
    months = made(key="at")
    history = Partition("events_p_before_2027_01", RangeBound(None, datetime(2027, 1, 1, tzinfo=UTC)))
    rows = Profile(datetime(2026, 10, 5, tzinfo=UTC), NOW)
    pieces = months.split(history, rows, NOW, {})
    assert not isinstance(pieces, Problems)
    assert [months.name("events", piece) for piece in pieces] == [
        "events_p_before_2026_10",
        *(f"events_p2026_{month}" for month in (10, 11, 12)),
    ]


def test_a_split_at_a_moment_is_one_at_its_least_key() -> None:
    months = made(key="uid", codec="uuidv7", timezone="Europe/Berlin")
    whole = months.initial("events", Profile(), NOW)[0]
    pieces = months.split(whole, Profile(), NOW, {"at": "2026-11-10, 2026-11-20 12:00+00"})
    assert not isinstance(pieces, Problems)
    assert [piece.upper for piece in pieces[:-1] if isinstance(piece, RangeBound)] == [
        UUID(int=int(datetime(2026, 11, day, hour, tzinfo=UTC).timestamp() * 1000) << 80)
        for day, hour in ((9, 23), (20, 12))
    ]
    assert len({months.name("events", piece) for piece in pieces}) == 3


@pytest.mark.parametrize(
    "how", [{}, {"at": "2027-11-10"}, {"at": "x"}, {"at": "2026-11-05,2026-11-05"}, {"interval": "year"}]
)
def test_a_split_that_cuts_nothing_is_a_problem(how: dict[str, object]) -> None:
    months = made(key="day")
    assert isinstance(
        months.split(months.initial("events", Profile(), NOW)[0], Profile(), NOW, how), Problems
    )


def test_a_default_partition_is_drained_into_the_intervals_of_its_rows() -> None:
    months = made(key="at")
    pieces = months.split(Partition("d", DefaultBound()), Profile(NOVEMBER, NOW), NOW, {})
    assert pieces == (RangeBound(NOVEMBER, datetime(2026, 12, 1, tzinfo=UTC)), DefaultBound())


@pytest.mark.parametrize(
    "hows",
    [
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        (datetime(2026, 10, 25, 0, 30, 0, 1, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_bounds_that_clocks_show_twice_have_two_names(hows: tuple[datetime, datetime]) -> None:
    days = made(key="at", interval="day", timezone="Europe/Berlin")
    assert len({days.name("events", RangeBound(lower, None)) for lower in hows}) == 2


def test_off_the_grid_is_told_of() -> None:
    months = made(key="at")
    odd = RangeBound(NOVEMBER, NOW)
    said = months.lint("events", Partition(months.name("events", odd), odd), ())
    assert said == (
        "events_p2026_11_to_20261122_143000_000000 ends at 2026-11-22 14:30:00+00:00, "
        "where no interval of 1 month begins",
    )


def test_a_gap_makes_no_merger() -> None:
    months = made(key="at")
    there = months.initial("events", Profile(), NOW)
    assert isinstance(months.merge([there[0], there[2]]), Problems)


CODECS = (("uid", "uuidv7"), ("ulid", "ulid"), ("id", "snowflake"), ("id", "epoch_ms"), ("id", "epoch_s"))
moments_ = st.datetimes(datetime(2011, 1, 1), datetime(2079, 6, 1)).map(lambda d: d.replace(tzinfo=UTC))  # noqa: DTZ001


@given(
    which=st.sampled_from([*CODECS, ("seconds", "epoch_s")]),
    step=st.sampled_from(["5 hours", "day", "week", "month", "year", "7 years"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"]),
    low=moments_,
    span=st.timedeltas(timedelta(0), timedelta(days=40)),
    now=st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28)).map(lambda d: d.replace(tzinfo=UTC)),  # noqa: DTZ001
)
def test_keys_of_any_kind_tile(
    which: tuple[str, str], step: str, zone: str, low: datetime, span: timedelta, now: datetime
) -> None:
    partitioner = made(key=which[0], codec=which[1], interval=step, timezone=zone)
    codec = partitioner.codec
    assert codec is not None
    ends = [codec.encode(low), codec.encode(low + span)]
    assume(None not in ends)
    now = min(max(now, low - timedelta(days=40)), low + timedelta(days=40))
    if which[1] == "uuidv7":
        ends = [uuid7(low), uuid7(low + span, 2**62 - 1)]
    profile = Profile(*ends)
    partitions = partitioner.initial("events", profile, now)

    assert first_overlap(partitions) is None
    assert not gaps(partitions)
    assert len({partition.name for partition in partitions}) == len(partitions)
    assert not partitioner.due("events", partitions, now, profile).create
    homes = [
        p.name
        for p in partitions
        if isinstance(p.bound, RangeBound)
        and (p.bound.lower is None or p.bound.lower <= ends[1])  # type: ignore[operator]
        and (p.bound.upper is None or ends[1] < p.bound.upper)  # type: ignore[operator]
    ]
    assert len(homes) == 1
    whole = partitioner.merge(partitions)
    assert isinstance(whole, Problems) == (len(partitions) == 1)
    if not isinstance(whole, Problems):
        pieces = partitioner.split(Partition("whole", whole), profile, now, {})
        assert not isinstance(pieces, Problems)
        assert tiles(whole, pieces)


@given(
    which=st.sampled_from([*CODECS, ("seconds", "epoch_s")]),
    now=st.sampled_from([EARLIEST, LATEST]),
)
def test_a_clock_beyond_all_keys_stops_at_the_last(which: tuple[str, str], now: datetime) -> None:
    partitioner = made(key=which[0], codec=which[1], interval="year")
    partitions = partitioner.initial("events", Profile(), now)
    assert first_overlap(partitions) is None
    assert not gaps(partitions)


@given(which=st.sampled_from(CODECS), moment=moments_)
def test_a_key_tells_the_moment_it_was_made_from(which: tuple[str, str], moment: datetime) -> None:
    codec = made(key=which[0], codec=which[1]).codec
    assert codec is not None
    key = codec.encode(moment)
    assert key is not None
    told = codec.decode(key)
    assert told is not None
    assert timedelta(0) <= told - moment < codec.tick
