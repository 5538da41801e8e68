"""A backfill is verified on a standby, once that has replayed the end of the run, and on no other server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.backfill import Quiet, fill, numbers, spec
from support.standby import Streaming, streaming

from evolve.app.verify_backfill import StandbyBehind, Verified, verify_backfill
from evolve.postgres.replayed import NotAStandby, OtherCluster

pytestmark = pytest.mark.server


@pytest.fixture
def pair() -> Iterator[Streaming]:
    with streaming({}) as pair:
        numbers(pair.primary, 1000)
        yield pair


def verify(url: str, on: str, wait: float = 20.0) -> Verified:
    quiet = Quiet()
    return verify_backfill(url, "numbers.n", stop=quiet, watch=quiet, on=on, wait=wait)


def test_it_has_what_the_primary_has_once_it_has_replayed_the_run(pair: Streaming) -> None:
    with pair.lagging():
        fill(pair.primary, spec("numbers", "n", "n + 1", where="n = 0"))
        with pytest.raises(StandbyBehind, match="has not replayed the end"):
            verify(pair.primary, pair.standby, wait=0.3)
    verified = verify(pair.primary, pair.standby)
    assert verified.verdict.clean
    assert verified.same
    assert verified.verdict.server is not None


def test_the_primary_is_no_standby(pair: Streaming) -> None:
    fill(pair.primary, spec("numbers", "n", "n + 1", where="n = 0"))
    with pytest.raises(NotAStandby):
        verify(pair.primary, pair.primary)


def test_a_standby_of_another_server_shows_nothing(pair: Streaming, database_url: str) -> None:
    numbers(database_url, 10)
    fill(database_url, spec("numbers", "n", "n + 1", where="n = 0"))
    with pytest.raises(OtherCluster, match="another primary"):
        verify(database_url, pair.standby)
