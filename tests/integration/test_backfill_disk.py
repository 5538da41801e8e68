"""A disk that is really full: a run waits until there is room again, or gives up and is resumed; nothing twice."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Pace, ServerTrouble
from evolve.app.resume_backfill import resume_backfill
from evolve.backfill.runner import GaveUp
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.postgres.connect import connect
from evolve.postgres.journal import named_run
from evolve.postgres.scratch.cluster import server_user

pytestmark = pytest.mark.server

FULL = "No space left on device"


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system in memory of 16 MB that the server may write."""
    folder = Path(tempfile.mkdtemp(prefix="evolve-disk-"))
    mounted = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0777", "tmpfs", str(folder)]
    try:
        if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True, check=False).returncode != 0:
            pytest.skip("only root may mount a file system, and not everywhere")
        try:
            yield folder
        finally:
            # At once, even if the server holds a file open that it is about to drop.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        shutil.rmtree(folder)


@dataclass
class Disk:
    """Where the table is."""

    folder: Path

    def fill_up(self) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass

    def make_room(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)


@pytest.fixture
def disk(database_url: str) -> Iterator[Disk]:
    """The table `numbers` of 5000 rows on a small disk."""
    name = f"small_{secrets.token_hex(4)}"
    with small_disk() as folder:
        space = folder / "space"
        space.mkdir()
        user = server_user()
        if user.uid is not None and user.gid is not None:
            os.chown(space, user.uid, user.gid)
        numbers(database_url, 5000)
        disk = Disk(folder)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{space}'".encode())
            try:
                connection.execute(f"ALTER TABLE numbers SET TABLESPACE {name}".encode())
                yield disk
            finally:
                disk.make_room()
                connection.execute("DROP TABLE numbers")
                connection.execute(f"DROP TABLESPACE {name}".encode())


@dataclass
class OnDisk(Quiet):
    """The disk is full from the third batch on; room is made once that has been told."""

    disk: Disk | None = None
    makes_room: bool = False
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.between = lambda batches: self.disk.fill_up() if self.disk and batches == 2 else None

    def say(self, message: str) -> None:
        super().say(message)
        if FULL in message:
            self.told.append(message)
            if self.makes_room and self.disk:
                self.disk.make_room()


@pytest.mark.parametrize("undo", ["on", "off"])
def test_a_run_waits_until_there_is_room_again(database_url: str, disk: Disk, undo: str) -> None:
    quiet = OnDisk(disk=disk, makes_room=True)
    outcome = fill(
        database_url,
        spec("numbers", "n", "n + 1"),
        quiet,
        undo_journal_mode=JournalMode(undo),
        plain_sql=True,
    )
    assert (outcome.state, outcome.rejects) == (State.DONE, 0)
    assert quiet.told
    assert by_value(database_url) == {1: 5000}


def test_a_run_that_gave_up_says_why_and_is_resumed(database_url: str, disk: Disk) -> None:
    work = spec("numbers", "n", "n + 1")
    with pytest.raises(GaveUp, match=FULL) as gave_up:
        fill(
            database_url,
            work,
            OnDisk(disk=disk),
            pace=Pace(largest=100, patience=0.3),
            undo_journal_mode=JournalMode.ON,
            plain_sql=True,
        )
    assert "SQLSTATE 53100" in str(gave_up.value)
    with connect(database_url) as connection:
        assert named_run(connection, "numbers.n").state is State.FAILED
    # Still full: refused before anything is written.
    with pytest.raises((GaveUp, ServerTrouble), match=FULL):
        resume_backfill(database_url, "numbers.n", pace=Pace(patience=0.3), stop=Quiet(), watch=Quiet())
    disk.make_room()
    resume_backfill(database_url, "numbers.n", pace=Pace(), stop=Quiet(), watch=Quiet())
    assert by_value(database_url) == {1: 5000}
