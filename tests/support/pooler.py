"""pgbouncer in transaction mode in front of a server, for one test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg import conninfo

from evolve.postgres.scratch import cluster

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pooled(url: str, directory: Path, mode: str = "transaction") -> Iterator[str]:
    """The URL of `url`'s database behind the pooler."""
    assert PROGRAM is not None
    at = conninfo.conninfo_to_dict(url)
    target = " ".join(
        f"{key}={at[key]}" for key in ("host", "port", "dbname", "user", "password") if at.get(key)
    )
    settings = directory / "pgbouncer.ini"
    written = (
        f"[databases]\n{at['dbname']} = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"auth_type = any\npool_mode = {mode}\nunix_socket_dir =\nlogfile = {directory / 'pgbouncer.log'}\n"
    )
    # It refuses to run as root, and the folders of tests are root's alone.
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if _is_root() else []
    for folder in (directory, *directory.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o777)
    for _ in range(5):
        port = cluster._free_port()
        settings.write_text(f"{written}listen_port = {port}\n")
        process = subprocess.Popen(
            [*user, PROGRAM, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            if not _answers(port, process):
                continue  # somebody was faster, and has the port
            yield f"postgresql://{at['user']}@127.0.0.1:{port}/{at['dbname']}"
            return
        finally:
            process.terminate()
            process.wait(timeout=10)
    raise AssertionError(f"pgbouncer has ended: {(directory / 'pgbouncer.log').read_text()}")


def _is_root() -> bool:
    import os

    return os.geteuid() == 0


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """False where it has ended instead."""
    for _ in range(600):
        with socket.socket() as probe:
            answered = probe.connect_ex(("127.0.0.1", port)) == 0
        if process.poll() is not None:
            return False
        if answered:
            return True
        time.sleep(0.05)
    raise AssertionError("pgbouncer does not answer")
