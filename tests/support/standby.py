"""Hot standbys: one whose primary is gone, and one that follows its primary."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

from psycopg import conninfo

from evolve.postgres.connect import Connection, connect
from evolve.postgres.scratch import cluster, owner, programs


@contextmanager
def hot_standby(prepare: Callable[[str], None]) -> Iterator[str]:
    """The URL of a standby that has what `prepare` made when it was given the URL of the primary.

    The primary is gone by then, so nothing more is replicated.
    """
    claim = owner.claim("local")
    try:
        primary = cluster.start(programs_wanted(), claim.folder, {})
        try:
            prepare(primary.url)
            with connect(primary.url, autocommit=True) as connection:
                connection.execute("CHECKPOINT")
        finally:
            primary.stop()
        (claim.folder / "data" / "standby.signal").touch()
        standby = start_again(claim.folder, primary.url, {})
        try:
            yield standby.url
        finally:
            standby.stop()
    finally:
        claim.release()


def start_again(folder: Path, url: str, settings: dict[str, str]) -> cluster.Cluster:
    """The server whose data is there already, under the same URL."""
    user = cluster.server_user()
    settings = {**cluster._SETTINGS, **settings, "port": url.rpartition(":")[2].partition("/")[0]}
    data = folder / "data"
    process = cluster._spawn(cluster.reachable(programs_wanted(), user), data, folder / "log", settings, user)
    assert cluster._becomes_ready(process, data), (folder / "log").read_text()
    return cluster.Cluster(process, folder, url)


def programs_wanted(wanted: str | None = None) -> programs.Programs:
    """Of the server that is wanted, as EVOLVE_SCRATCH names it, or the newest."""
    provider, _, where = (wanted or os.environ.get("EVOLVE_SCRATCH", "embedded")).partition(":")
    if where.startswith("/"):
        return programs.in_folder(Path(where))[0]
    found = programs.on_this_machine() if provider == "local" else programs.in_the_wheel()
    return next(each for each in found if where in ("", str(each.major)))


class Streaming:
    """A primary with a standby that follows it, by the name "follower".

    Args:
        primary, standby: their URLs.
    """

    def __init__(
        self,
        found: programs.Programs,
        folder: Path,
        primary: str,
        user: cluster.ServerUser,
        settings: dict[str, str],
    ) -> None:
        self.primary = primary
        self._programs = cluster.reachable(found, user)
        self._folder = folder
        self._user = user
        self._port = str(cluster._free_port())
        self._settings = {**cluster._SETTINGS, **settings, "port": self._port}
        at = conninfo.conninfo_to_dict(primary)
        self.standby = f"postgresql://{at['user']}:{at['password']}@{at['host']}:{self._port}/postgres"

    def start(self) -> None:
        self._process = cluster._spawn(
            self._programs,
            self._folder / "data",
            self._folder / "log",
            self._settings,
            self._user,
        )
        assert cluster._becomes_ready(self._process, self._folder / "data"), (
            self._folder / "log"
        ).read_text()

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """
        Args:
            how: SIGINT lets it end in good order, SIGQUIT as a crash does.
        """
        if self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(20)

    def caught_up(self) -> None:
        """Wait until the standby has all that was committed."""
        with (
            connect(self.primary, autocommit=True) as primary,
            connect(self.standby, autocommit=True) as standby,
        ):
            primary.execute("CHECKPOINT")  # a record that ends where the log does, and is sent at once
            ((end,),) = primary.execute("SELECT pg_current_wal_insert_lsn()::text").fetchall()
            _until(standby, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", end)
            _until(primary, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")

    @contextmanager
    def lagging(self) -> Iterator[None]:
        """The standby goes on to receive, and replays nothing."""
        with connect(self.standby, autocommit=True) as standby:
            standby.execute("SELECT pg_wal_replay_pause()")
            _until(standby, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
            try:
                yield
            finally:
                standby.execute("SELECT pg_wal_replay_resume()")


@contextmanager
def streaming(settings: dict[str, str], provider: str | None = None) -> Iterator[Streaming]:
    """
    Args:
        settings: of both.
        provider: as EVOLVE_SCRATCH names it; None is that one.
    """
    found = programs_wanted(provider)
    claim = owner.claim("local")
    try:
        user = cluster.server_user()
        (folder := claim.folder / "follower").mkdir(mode=0o755)
        primary = cluster.start(found, claim.folder, settings)
        try:
            (data := folder / "data").mkdir(mode=0o700)
            cluster._give(data, user)
            _copy(found, primary.url, data, user)
            both = Streaming(found, folder, primary.url, user, settings)
            both.start()
            try:
                both.caught_up()
                yield both
            finally:
                both.stop()
        finally:
            primary.stop()
    finally:
        claim.release()


def _copy(found: programs.Programs, url: str, data: Path, user: cluster.ServerUser) -> None:
    backup = cluster.reachable(found, user).folder / "pg_basebackup"
    subprocess.run(
        [
            *(backup, "--pgdata", data, "--checkpoint=fast", "--no-sync", "--write-recovery-conf"),
            *("--dbname", f"{url}?application_name=follower"),
        ],
        check=True,
        capture_output=True,
        cwd=data,
        env=cluster._environment(),
        user=user.uid,
        group=user.gid,
        extra_groups=user.groups,
    )


def _until(connection: Connection, question: LiteralString, *values: object) -> None:
    end = time.monotonic() + 20
    while connection.execute(question, values).fetchone() != (True,):
        assert time.monotonic() < end, question
        time.sleep(0.02)
