"""A server whose rows are old: its transaction ids have gone on without them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evolve.postgres.scratch import cluster, owner
from support.standby import programs_wanted, start_again

_SEGMENT = 32 * 32768  # transactions whose ends one file of pg_xact keeps
_BYTES = 256 * 1024  # of such a file


@contextmanager
def aged(prepare: Callable[[str], None], transactions: int, settings: dict[str, str]) -> Iterator[str]:
    """The URL of a server in which what `prepare` made is that many transactions old."""
    claim = owner.claim("local")
    try:
        user = cluster.server_user()
        found = cluster.reachable(programs_wanted(), user)
        young = cluster.start(found, claim.folder, settings)
        try:
            prepare(young.url)
        finally:
            young._process.send_signal(signal.SIGINT)  # in good order, or the next step is refused
            young._process.wait(20)
        data = claim.folder / "data"
        # The server writes such a file when it comes to it; so far it has never been there.
        segment = data / "pg_xact" / f"{transactions // _SEGMENT:04X}"
        segment.write_bytes(bytes(_BYTES))
        cluster._give(segment, user)
        subprocess.run(
            [found.folder / "pg_resetwal", f"--next-transaction-id={transactions}", data],
            check=True, capture_output=True, cwd=data, env=cluster._environment(),
            user=user.uid, group=user.gid, extra_groups=user.groups,
        )  # fmt: skip
        old = start_again(claim.folder, young.url, settings)
        try:
            yield old.url
        finally:
            old.stop()
    finally:
        claim.release()
