"""Backfills driven through the command line, with whatever else goes on in the database meanwhile."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from evolve.app.backfill_work import Outcome, Pace
from evolve.app.run_backfill import run_backfill
from evolve.backfill.progress import Snapshot
from evolve.backfill.spec import Spec
from evolve.sql.names import QualifiedName
from support.command_line import Running, evolve, start_evolve
from support.memory import FOLDER

# Ten milliseconds at the end of each UPDATE and ten inside each COMMIT of a backfill, so that both are hit by what
# happens at random moments. (pg_sleep rounds up to a millisecond, so it cannot be had per row.)
SLOW = """
    CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF current_setting('application_name') LIKE 'evolve%' THEN PERFORM pg_sleep(0.01); END IF;
            RETURN NULL;
        END $$;
    CREATE TRIGGER dawdle AFTER UPDATE ON public.numbers FOR EACH STATEMENT EXECUTE FUNCTION public.dawdle();
    CREATE CONSTRAINT TRIGGER dawdle AFTER UPDATE ON evolve.backfill_range DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.dawdle();
"""


@dataclass
class Cli:
    """`evolve backfill …` against one database."""

    url: str
    processes: list[Running] = field(default_factory=list)

    def start(self, *arguments: str) -> Running:
        process = start_evolve("backfill", *arguments, cwd=FOLDER, env={"EVOLVE_DATABASE_URL": self.url})
        self.processes.append(process)
        return process

    def run(self, *arguments: str, expect: int = 0, timeout: float = 60) -> str:
        """Its stdout; fails with everything it printed where the exit status is another one."""
        done = self._done(*arguments, timeout=timeout)
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fail(self, *arguments: str, expect: int) -> str:
        """Its stderr."""
        done = self._done(*arguments)
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def status(self, name: str) -> dict[str, object]:
        found = json.loads(self.run("status", name, "--format", "json"))
        assert isinstance(found, dict)
        return found

    def _done(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        environment = {"EVOLVE_DATABASE_URL": self.url}
        return evolve("backfill", *arguments, cwd=FOLDER, env=environment, timeout=timeout)

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@contextmanager
def command_line(url: str) -> Iterator[Cli]:
    cli = Cli(url)
    try:
        yield cli
    finally:
        cli.end()


@dataclass
class Quiet:
    """Nobody stops it, and what it says is kept.

    Args:
        batches: committed by the worker, of which there may be one only.
        between: called before each batch, in the worker's thread, with that number.
        stop_when: as by a signal.
    """

    said: list[str] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    stop_when: Callable[[], bool] = bool
    between: Callable[[int], None] | None = None
    batches: int = -2  # it is asked once before it takes a range, and once before the first batch

    def requested(self) -> str | None:
        if threading.current_thread().name.startswith("worker"):
            self.batches += 1
            if self.between is not None and self.batches >= 0:
                self.between(self.batches)
        return "SIGTERM" if self.stop_when() else None

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def report(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def say(self, message: str) -> None:
        self.said.append(message)


def fill(
    url: str, spec: Spec, quiet: Quiet | None = None, *, pace: Pace | None = None, **options: object
) -> Outcome:
    """`run_backfill` in this process, in small batches."""
    quiet = quiet or Quiet()
    pace = pace or Pace(largest=100)
    return run_backfill(url, spec, pace=pace, stop=quiet, watch=quiet, **options)  # type: ignore[arg-type]


def spec(table: str, column: str, expression: str, **more: object) -> Spec:
    return Spec(f"{table}.{column}", QualifiedName(table), ((column, expression),), **more)  # type: ignore[arg-type]


def numbers(url: str, rows: int) -> None:
    """A table `numbers` with gaps in its key, an index in random order, and n = 0 everywhere."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE numbers (id bigint PRIMARY KEY, n integer NOT NULL, hits integer NOT NULL DEFAULT 0,"
            " note text NOT NULL)"
        )
        connection.execute(
            "INSERT INTO numbers SELECT g * 3, 0, 0, md5(g::text) FROM generate_series(1, %s) g", (rows,)
        )
        connection.execute("CREATE INDEX ON numbers (note)")
        connection.execute("ANALYZE numbers")


def by_value(url: str) -> dict[int, int]:
    """n → how many rows have it."""
    with psycopg.connect(url, autocommit=True) as connection:
        return dict(connection.execute("SELECT n, count(*)::int FROM numbers GROUP BY 1").fetchall())


@contextmanager
def writers(url: str, count: int = 2) -> Iterator[list[BaseException]]:
    """Sessions that update, delete and insert while the block runs, as an application of the new release does: what it
    inserts is right from the start (n = 1). Yields the errors they met.
    """
    stop = threading.Event()
    errors: list[BaseException] = []
    with psycopg.connect(url, autocommit=True) as connection:
        # Asked once: what one of them has inserted must not move the keys of another.
        row = connection.execute("SELECT max(id) FROM numbers").fetchone()
    assert row is not None
    top = int(row[0])

    def write(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                fresh = top + seed * 10_000_000
                while not stop.is_set():
                    key = chance.randrange(1, top // 3) * 3
                    what = chance.random()
                    if what < 0.8:
                        connection.execute("UPDATE numbers SET hits = hits + 1 WHERE id = %s", (key,))
                    elif what < 0.85:
                        connection.execute("DELETE FROM numbers WHERE id = %s", (key,))
                    elif what < 0.9:
                        with connection.transaction():
                            connection.execute("UPDATE numbers SET hits = hits + 1 WHERE id = %s", (key,))
                            time.sleep(0.02)
                    else:
                        fresh += 1
                        connection.execute("INSERT INTO numbers VALUES (%s, 1, 0, 'new')", (fresh,))
                    time.sleep(0.002)
        except BaseException as error:  # noqa: BLE001  # told to the test, which fails with it
            errors.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(1, count + 1)]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        stop.set()
        for thread in threads:
            thread.join()
