"""A hot standby: a server of its own that may only be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evolve.postgres.connect import connect
from evolve.postgres.scratch import cluster, owner, programs


@contextmanager
def hot_standby(prepare: Callable[[str], None]) -> Iterator[str]:
    """The URL of a standby that has what `prepare` made when it was given the URL of the primary.

    The primary is gone by then, so nothing more is replicated.
    """
    claim = owner.claim("local")
    try:
        primary = cluster.start(_programs(), claim.folder, {})
        try:
            prepare(primary.url)
            with connect(primary.url, autocommit=True) as connection:
                connection.execute("CHECKPOINT")
        finally:
            primary.stop()
        (claim.folder / "data" / "standby.signal").touch()
        standby = _start_again(claim.folder, primary.url)
        try:
            yield standby.url
        finally:
            standby.stop()
    finally:
        claim.release()


def _start_again(folder: Path, url: str) -> cluster.Cluster:
    """The server whose data is there already, under the same URL."""
    user = cluster.server_user()
    settings = {**cluster._SETTINGS, "port": url.rpartition(":")[2].partition("/")[0]}
    data = folder / "data"
    process = cluster._spawn(cluster.reachable(_programs(), user), data, folder / "log", settings, user)
    assert cluster._becomes_ready(process, data), (folder / "log").read_text()
    return cluster.Cluster(process, folder, url)


def _programs() -> programs.Programs:
    """Of the server that EVOLVE_SCRATCH names, or the newest."""
    provider, _, where = os.environ.get("EVOLVE_SCRATCH", "embedded").partition(":")
    if where.startswith("/"):
        return programs.in_folder(Path(where))[0]
    found = programs.on_this_machine() if provider == "local" else programs.in_the_wheel()
    return next(each for each in found if where in ("", str(each.major)))
