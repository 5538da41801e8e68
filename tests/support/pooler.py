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

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pooled(url: str, directory: Path, mode: str = "transaction") -> Iterator[str]:
    """The URL of `url`'s database behind the pooler."""
    assert PROGRAM is not None
    at = conninfo.conninfo_to_dict(url)
    port = _free_port()
    target = " ".join(
        f"{key}={at[key]}" for key in ("host", "port", "dbname", "user", "password") if at.get(key)
    )
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{at['dbname']} = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = any\npool_mode = {mode}\nunix_socket_dir =\nlogfile = {directory / 'pgbouncer.log'}\n"
    )
    # It refuses to run as root, and the folders of tests are root's alone.
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if _is_root() else []
    for folder in (directory, *directory.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o777)
    process = subprocess.Popen(
        [*user, PROGRAM, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield f"postgresql://{at['user']}@127.0.0.1:{port}/{at['dbname']}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def _is_root() -> bool:
    import os

    return os.geteuid() == 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "pgbouncer has ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("pgbouncer does not answer")
