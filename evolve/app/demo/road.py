"""The demo's story: a shop under live traffic is linted, changed in phases and partitioned, by the real commands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, LiteralString, Protocol

from evolve.app.demo.traffic import Report, Traffic, environment
from evolve.app.samples import copy_sample
from evolve.errors import Refused
from evolve.postgres import scratch
from evolve.postgres.connect import connect

CHANGE = "rename_users_name_to_full_name"
BAD_REVISION = "0006_everything_at_once.py"
CLIENTS = 4  # of each release
RATE = 40.0  # transactions per second of each release

# One statement, so one snapshot of the partitioned table and of the table before it, which a trigger keeps in step.
_MISPLACED = """
    SELECT count(*)
      FROM orders AS new FULL JOIN orders_evolve_old AS old ON new.id = old.id AND new.created_at = old.created_at
     WHERE (new.id, new.user_id, new.status, new.total, new.note)
           IS DISTINCT FROM (old.id, old.user_id, old.status, old.total, old.note)
"""

Size = Literal["small", "demo", "large"]


class CommandFailed(Refused):
    def __init__(self, words: Sequence[str], expected: int, status: int, output: str) -> None:
        super().__init__(
            f"`{' '.join(words)}` ended with exit status {status}, not {expected}\n{output.rstrip()}",
            why="the demo tells a story that this command has just contradicted",
            fix="please report it with the lines above",
        )


class Narrator(Protocol):
    """Who tells the story."""

    def scene(self, title: str, text: str) -> None: ...
    def command(self, words: Sequence[str]) -> None: ...
    def output(self, lines: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of the promises.

    Args:
        clients: one report for each release.
        lost: writes that no later reading found, over all clients, read again at the very end.
        differing: rows in which the old and the new column differed before the old one was taken away.
        misplaced: orders that the partitioned table and the table before it do not have in common.
        rows_per_second: of the backfill, and of the copy into partitions.
        seconds: from the server's start to here.
    """

    clients: tuple[Report, ...]
    lost: int
    differing: int
    misplaced: int
    rows_per_second: tuple[tuple[str, float], ...]
    seconds: float

    @property
    def broken(self) -> tuple[str, ...]:
        """Promises that were not kept, in words."""
        failed = sum(report.failed for report in self.clients)
        return tuple(
            words
            for count, words in (
                (failed, f"{failed} transactions failed"),
                (self.lost, f"{self.lost} writes were lost"),
                (self.differing, f"{self.differing} rows differ between the old column and the new"),
                (self.misplaced, f"{self.misplaced} orders differ between the table and its partitions"),
            )
            if count
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """A server that `--keep` left up."""

    url: str
    folder: Path
    stop_command: str


class Stage:
    """The shop, its server, and the commands that act on them.

    Args:
        folder: a copy of the sample project, made for this demo.
    """

    def __init__(self, narrator: Narrator, folder: Path, url: str) -> None:
        self._narrator = narrator
        self._environment = environment(folder, url)
        self.folder = folder
        self.url = url

    def evolve(self, *words: str, status: int = 0, live: bool = False) -> str:
        """Run a command as a user would; returns its stdout.

        Args:
            status: the exit status that the story needs.
            live: let its progress show on our stderr.

        Raises:
            CommandFailed: it ended otherwise.
        """
        self._narrator.command(("evolve", *words))
        done = self._run(["evolve", *words], live=live)
        if done.returncode != status:
            raise CommandFailed(
                ("evolve", *words), status, done.returncode, done.stdout + (done.stderr or "")
            )
        return done.stdout

    def shop(self, *words: str) -> str:
        """Run one of the shop's own programs; returns its stdout."""
        done = self._run(list(words), live=False)
        if done.returncode not in (0, 1):  # 1: it found something, which its output says
            raise CommandFailed(
                ("python", "-m", *words), 0, done.returncode, done.stdout + (done.stderr or "")
            )
        return done.stdout

    def count(self, query: LiteralString) -> int:
        """The number that `query` gives."""
        with connect(self.url, application_name="evolve demo", autocommit=True) as connection:
            # ACCESS SHARE; a scan beside the traffic.
            row = connection.execute(query).fetchone()
        return int(str(row[0])) if row and row[0] is not None else 0

    def _run(self, words: list[str], *, live: bool) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # our own programs, our own arguments
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if live else subprocess.PIPE,
            text=True,
            check=False,
        )


def run_demo(narrator: Narrator, *, size: Size = "demo", keep: bool = False) -> tuple[Ending, Kept | None]:
    """Run the whole road.

    Args:
        size: of the shop: `demo` has 200,000 users and 1,000,000 orders.
        keep: leave server and folder behind.

    Raises:
        CommandFailed, TrafficFailed: the story could not go on.
        NoScratchServer: no PostgreSQL could be started.
    """
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="evolve-demo-"))
    try:
        with scratch.server(keep=keep) as server:
            stage = Stage(narrator, copy_sample("shop", folder), server.url)
            where = f"PostgreSQL {server.version} ({server.provider})"
            ending = replace(_tell(narrator, stage, size, where), seconds=time.monotonic() - started)
            kept = Kept(server.url, stage.folder, server.stop_command) if keep else None
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return ending, kept


def _tell(narrator: Narrator, stage: Stage, size: Size, where: str) -> Ending:
    narrator.scene(
        "A shop", f"{where}. Two tables made by Alembic revisions, filled, then used by release v1."
    )
    stage.evolve("upgrade")
    narrator.output([stage.shop("shop.seed", "--size", size).strip()])
    with ExitStack() as serving:

        def open_shop(version: str, share: str) -> Traffic:
            traffic = Traffic(version, stage.folder, stage.url, clients=CLIENTS, rate=RATE, share=share)
            serving.callback(traffic.kill)
            narrator.output(
                [f"{CLIENTS} clients of {version} read and write, {RATE:.0f} transactions a second"]
            )
            return traffic

        v1 = open_shop("v1", "1/2")
        _refuse_the_bad_revision(narrator, stage)
        _expand(narrator, stage)
        v2 = open_shop("v2", "2/2")
        backfilled = _backfill(narrator, stage)
        _validate_and_switch(narrator, stage)
        copied = _partition(narrator, stage)
        first, differing = _contract(narrator, stage, v1)
        second = v2.stop()
    narrator.scene("Was anything lost?", "Everything both releases wrote is read again, through v2.")
    lost = json.loads(stage.shop("shop.check", "--version", "v2", str(v1.ledger), str(v2.ledger)))
    return Ending(
        clients=(first, second),
        lost=max(first.lost, 0) + max(second.lost, 0) + int(lost["lost"]),
        differing=differing,
        misplaced=stage.count(_MISPLACED),
        rows_per_second=(("backfill of users", backfilled), ("copy of orders into partitions", copied)),
        seconds=0.0,
    )


def _refuse_the_bad_revision(narrator: Narrator, stage: Stage) -> None:
    narrator.scene(
        "A pull request", "Somebody renames a column, requires another and builds an index in one go."
    )
    versions = stage.folder / "migrations" / "versions"
    bad = shutil.copy(stage.folder / "bad_revisions" / BAD_REVISION, versions)
    report = json.loads(stage.evolve("lint", "0006", "--format", "json", status=1))
    narrator.output(
        [
            f"{_place(found)} {found['rule']} {found['name']}: {found['message']}"
            for found in report["findings"]
        ]
    )
    Path(bad).unlink()


def _expand(narrator: Narrator, stage: Stage) -> None:
    narrator.scene(
        "The same rename, in phases", "Expand: the new column beside the old, a trigger keeps them equal."
    )
    plan = stage.evolve("plan", "rename-column", "users.name", "full_name", "--write")
    narrator.output([line for line in plan.splitlines() if line[:1].isdigit()])
    stage.evolve("lint")
    stage.evolve("upgrade")
    stage.evolve("advance", CHANGE)


def _backfill(narrator: Narrator, stage: Stage) -> float:
    narrator.scene("Backfill", "A gate keeps the next phase shut until every row is done.")
    narrator.output(_gates(stage.evolve("advance", CHANGE, status=1)))
    before = time.monotonic()
    narrator.output([stage.evolve("backfill", "run", CHANGE, live=True).splitlines()[0]])
    return stage.count("SELECT count(*) FROM users") / (time.monotonic() - before)


def _validate_and_switch(narrator: Narrator, stage: Stage) -> None:
    narrator.scene(
        "Validate, then switch", "The new column gets its promises; the new release may rely on it."
    )
    narrator.output(_gates(stage.evolve("advance", CHANGE)))
    stage.evolve("upgrade")
    stage.evolve("advance", CHANGE)


def _partition(narrator: Narrator, stage: Stage) -> float:
    narrator.scene("Partition", "orders becomes a table of monthly partitions, two years of rows included.")
    stage.evolve("partition", "convert", "orders", "--recipe", "copy", "--run", live=True)
    status = json.loads(stage.evolve("partition", "status", "orders", "--format", "json"))
    done = status["conversion"]
    narrator.output(
        [
            f"{done['rows_copied']:,} rows copied at {done['rows_per_second']:,} rows/s, "
            f"{done['rows_verified']:,} compared, {done['rows_differing']} differ",
            "the table before it is kept in step: evolve partition convert orders --rollback would bring it back",
        ]
    )
    return float(done["rows_per_second"])


def _contract(narrator: Narrator, stage: Stage, v1: Traffic) -> tuple[Report, int]:
    narrator.scene(
        "Contract", "The last client of v1 has gone home; the old column is hidden, and could come back."
    )
    report = v1.stop()
    differing = stage.count("SELECT count(*) FROM users WHERE full_name IS DISTINCT FROM name")
    narrator.output(_gates(stage.evolve("advance", CHANGE, "--old-code-gone")))
    stage.evolve("upgrade")
    return report, differing


def _gates(text: str) -> list[str]:
    """The lines of `evolve advance` that say which gates are open and which are shut."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith(("ok ", "shut "))]


def _place(finding: dict[str, object]) -> str:
    return f"{Path(str(finding['file'])).name}:{finding['line']}"
