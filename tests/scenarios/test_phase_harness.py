"""The harness itself: what goes wrong in a change is found, and told with its phase, its client and its statement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from support.renaming import SCENE

from evolve.testing.phase_harness import Broken, Road
from evolve.testing.phase_harness.client import Moment

pytestmark = pytest.mark.server


@pytest.fixture
def road(database_url: str, tmp_path: Path) -> Iterator[Road]:
    with Road(SCENE, database_url, tmp_path, each=2) as made:
        yield made


def sql(road: Road, statement: str) -> None:
    with psycopg.connect(road.url, autocommit=True) as connection:
        connection.execute(statement.encode())


def wait_until(true: Callable[[], object]) -> None:
    """However slow the machine is; a test says itself what it misses where it never comes."""
    until = time.monotonic() + 30
    while not true() and time.monotonic() < until:
        time.sleep(0.05)


def found(road: Road) -> str:
    road.settle(1.0)
    road.settle(0.3)  # what was written meanwhile changes hands
    road.crowd.stop()  # each looks at all that it wrote
    with pytest.raises(Broken) as broken:
        road.check()
    return str(broken.value)


def test_nothing_is_found_where_nothing_is_wrong(road: Road) -> None:
    road.to("backfill")
    road.settle(0.5)
    road.crowd.stop()
    road.check()


def test_a_write_that_does_not_reach_the_other_side(road: Road) -> None:
    road.to("backfill")
    sql(road, "ALTER TABLE users DISABLE TRIGGER USER")
    told = found(road)
    assert "divergent rows" in told
    assert "was written" in told  # and what it holds, beside it


def test_a_value_that_changes_behind_everybody(road: Road) -> None:
    sql(road, "UPDATE users SET name = 'x' || name WHERE id <= 100")
    assert "'name': 'xuser " in found(road)  # whichever row is looked at first


def test_a_row_that_is_gone(road: Road) -> None:
    sql(road, "DELETE FROM users WHERE id <= 100")
    assert "is gone; it held" in found(road)


def test_a_transaction_that_fails_tells_its_statement(road: Road) -> None:
    road.to("expand")
    sql(road, "ALTER TABLE users DROP COLUMN visits")
    told = found(road)
    assert "at after expand: evolve upgrade --lock-timeout 500: old " in told
    assert 'column "visits"' in told
    assert "SELECT users.id" in told or "INSERT INTO users" in told


def test_what_a_way_back_leaves(road: Road) -> None:
    road.to("expand")
    road.to_the_start()
    road.check_rolled_back()
    sql(road, "CREATE INDEX forgotten ON users (visits)")
    with pytest.raises(Broken, match="forgotten"):
        road.check_rolled_back()


def test_a_wait_longer_than_the_lock_timeout(road: Road) -> None:
    road.crowd.moment = Moment("a command that holds its lock", quiet=False)
    with psycopg.connect(road.url) as connection:
        connection.execute("LOCK TABLE users")
        time.sleep(2.5)
    road.settle(0.5)  # whoever waited comes to an end
    with pytest.raises(Broken, match=r"at a command that holds its lock: old \d, waiting: [2-9]"):
        road.check_waits(0.1)


@pytest.mark.parametrize("recycled", [False, True])
def test_a_prepared_statement_that_breaks(road: Road, recycled: bool) -> None:
    """It is a failed transaction, unless the scene says that pools are replaced then."""
    # The driver prepares a statement that it has sent five times.
    wait_until(lambda: all(client.transactions > 100 for client in road.crowd.old))
    road.crowd.moment = Moment("a change of type", quiet=False, recycled=recycled)
    sql(road, "ALTER TABLE users ALTER COLUMN visits TYPE bigint")
    wait_until(lambda: road.crowd.failures or any(client.recycled for client in road.crowd.old))
    if recycled:
        road.check()
        assert sum(client.recycled for client in road.crowd.old) > 0
    else:
        assert "cached plan must not change result type" in found(road)


def test_records_change_hands(road: Road) -> None:
    """What one version wrote is looked at by the other, and the other way round."""
    road.to("backfill")
    road.settle(0.2)
    road.settle(0.2)
    words = [record.values.get("full_name") for client in road.crowd.new for record in client.owned]
    assert any(str(word).startswith("old ") for word in words)
    words = [record.values.get("name") for client in road.crowd.old for record in client.owned]
    assert any(str(word).startswith("new ") for word in words)
