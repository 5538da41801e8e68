"""Settings of a run as words, and back."""

from __future__ import annotations

import json

import pytest

from evolve.backfill.settings import OFF, BadSetting, NoValue, SaidTwice, Settings, UnknownSetting, parse


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("target=30ms", Settings(target=30)),
        ("TARGET=0.03s", Settings(target=30)),
        ("duty=0.3", Settings(duty=0.3)),
        ("duty=30%", Settings(duty=0.3)),
        ("rows=5000", Settings(rows=5000)),
        ("rows=5k/s", Settings(rows=5000)),
        ("rows=off", Settings(rows=OFF)),
        ("wal=10MB", Settings(wal=10e6)),
        ("wal=10 MiB/s", Settings(wal=10 * 2**20)),
        ("batch=2k", Settings(batch=2000)),
        ("lag=1.5GB", Settings(lag=1.5e9)),
    ],
)
def test_a_word_is_read_with_its_unit(word: str, expected: Settings) -> None:
    assert parse([word]) == expected


@pytest.mark.parametrize(
    "settings",
    [
        Settings(target=12.5, duty=0.333, rows=0.5, wal=10 * 2**20, batch=1, lag=999),
        Settings(rows=OFF, wal=OFF, lag=OFF),
        Settings(),
    ],
)
def test_what_is_told_back_or_kept_is_read_as_the_same(settings: Settings) -> None:
    kept = json.loads(json.dumps(settings.to_json()))
    assert (parse(settings.words), Settings.from_json(kept)) == (settings, settings)


@pytest.mark.parametrize(
    "word",
    [
        *("target=30", "target=-1ms", "target=0ms", "target=1h", "target=off", "target=", "target=nan"),
        *("duty=0", "duty=1.1", "duty=-0.5", "duty=off", "duty=1e-1", "duty=٣"),
        *("rows=0", "rows=many", "rows=1 2", "wal=10", "wal=10parsec", "batch=1.5", "batch=0", "lag=64"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(BadSetting) as refused:
        parse([word])
    assert f"{word.partition('=')[0]}=" in str(refused.value.fix)


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UnknownSetting) as refused:
        parse(["dutty=0.3"])
    assert '"duty"' in str(refused.value.fix)


def test_a_name_alone_and_one_that_comes_twice_are_refused() -> None:
    with pytest.raises(NoValue):
        parse(["duty"])
    with pytest.raises(SaidTwice):
        parse(["duty=0.3", "duty=0.4"])


def test_what_is_left_open_is_as_it_is_below() -> None:
    assert Settings(duty=0.3).over(Settings(duty=1, rows=50)) == Settings(duty=0.3, rows=50)
    assert Settings(duty=0.3, rows=50).without(["duty"]) == Settings(rows=50)


def test_a_setting_of_a_later_evolve_is_not_read() -> None:
    assert Settings.from_json({"duty": 0.3, "moon": "full"}) == Settings(duty=0.3)
