"""An undo by several workers, of a run by several workers, both killed again and again while the application writes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import psycopg
import pytest
from support.backfill import SLOW, Cli, command_line, numbers, writers

pytestmark = pytest.mark.server

NAME = "numbers.n"
SIZE = ("--target-ms", "60", "--max-batch", "150", "--max-rows-per-second", "1000000")
# Slow enough that it is not at its end before the last kill.
RUN = ("--target-ms", "60", "--max-batch", "150", "--workers", "3", "--max-rows-per-second", "5000")
EDITED = range(300, 30_000, 300)
DELETED = range(150, 30_000, 600)


def written(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('evolve.backfill_range')").fetchone() == (None,):
            return 0
        row = connection.execute(
            "SELECT coalesce(sum(changed), 0)::int FROM evolve.backfill_range"
        ).fetchone()
    return int(row[0]) if row else 0


def kept(url: str) -> int:
    """Rows that can still be restored."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT sum(rows - restored)::int FROM evolve.backfill_undo_1").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def killed(cli: Cli, progress: Callable[[str], int], *arguments: str) -> None:
    """Started, and killed some time after it has got somewhere."""
    before = progress(cli.url)
    process = cli.start(*arguments)
    until = time.monotonic() + 30
    while progress(cli.url) == before:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.2))
    process.kill()
    process.communicate()


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.long)])
def test_every_row_that_nobody_changed_has_its_old_value(database_url: str, kills: int) -> None:
    numbers(database_url, 10_000 + kills * 1500)
    with command_line(database_url) as cli:
        killed(cli, written, "run", NAME, "--set", "n + id::int", *RUN)
        for _ in range(kills // 3):
            killed(cli, written, "resume", NAME, *RUN)
        cli.run("resume", NAME, "--workers", "3", *SIZE)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE numbers SET n = -1 WHERE id = ANY(%s)", (list(EDITED),))
            connection.execute("DELETE FROM numbers WHERE id = ANY(%s)", (list(DELETED),))
            connection.execute(SLOW)
        with writers(database_url, 3) as errors:
            for _ in range(kills):
                killed(cli, lambda url: -kept(url), "undo", NAME, "--workers", "2", *SIZE)
            cli.run("undo", NAME, "--workers", "2", expect=1)
    assert errors == []
    with psycopg.connect(database_url, autocommit=True) as connection:
        wrong = connection.execute(
            "SELECT count(*) FROM numbers WHERE note <> 'new' AND n <> CASE WHEN id = ANY(%s) THEN -1 ELSE 0 END",
            (list(EDITED),),
        ).fetchone()
        listed = connection.execute(
            "SELECT count(*) FILTER (WHERE k = ANY(%(edited)s)), count(*) FILTER (WHERE k = ANY(%(deleted)s)),"
            " count(*) FILTER (WHERE NOT k = ANY(%(edited)s) AND EXISTS (SELECT FROM numbers WHERE id = k))"
            " FROM (SELECT key[1]::bigint AS k FROM evolve.backfill_reject) found",
            {"edited": list(EDITED), "deleted": list(DELETED)},
        ).fetchone()
    assert wrong == (0,)
    assert listed == (len(EDITED), len(DELETED), 0)


def test_rows_that_cannot_take_their_old_values_are_each_listed_once_and_lost_never(
    database_url: str,
) -> None:
    numbers(database_url, 10_000)
    with command_line(database_url) as cli, psycopg.connect(database_url, autocommit=True) as connection:
        cli.run("run", NAME, "--set", "n + id::int", "--workers", "2", "--max-batch", "150")
        connection.execute(
            "ALTER TABLE numbers ADD CONSTRAINT other CHECK (n <> 0 OR id % 3000 <> 0) NOT VALID"
        )
        connection.execute(SLOW)
        for _ in range(2):
            killed(cli, lambda url: -kept(url), "undo", NAME, "--workers", "2", *SIZE)
        cli.run("undo", NAME, "--workers", "2", expect=3)
        listed = connection.execute(
            "SELECT array_agg(key[1]::int ORDER BY key[1]::int) FROM evolve.backfill_reject WHERE sqlstate = '23514'"
        ).fetchone()
        assert listed == ([*range(3000, 30_001, 3000)],)
        connection.execute("ALTER TABLE numbers DROP CONSTRAINT other")
        cli.run("undo", NAME)
        wrong = connection.execute("SELECT count(*) FROM numbers WHERE n <> 0").fetchone()
    assert wrong == (0,)
