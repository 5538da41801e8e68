"""Run a PostgreSQL server of our own: `initdb` in a fresh folder, `postgres` on a free loopback port."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from evolve.postgres.scratch.owner import base_folder
from evolve.postgres.scratch.programs import Programs

SUPERUSER = "postgres"

_START_SECONDS = 60
_STOP_SECONDS = 20
_PORT_ATTEMPTS = 5
_FIRST_PORT, _PORTS = 20_000, 12_000  # Linux gives ports from 32768 on by itself, others from 49152

# Nothing in a scratch server outlives it, so nothing needs to reach the disk.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_wal_size": "4GB",
}


class DidNotStart(Exception):
    """A program of PostgreSQL failed; the text is what it said."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user that the server runs as; `initdb` and `postgres` refuse root. All None: ourselves."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> list[int] | None:
        return None if self.uid is None else []


def server_user() -> ServerUser:
    """Ourselves; for root `postgres` where the machine has that user, else `nobody`."""
    if os.geteuid() != 0:
        return ServerUser()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return ServerUser(entry.pw_uid, entry.pw_gid)
    raise DidNotStart(
        "root may not run PostgreSQL, and there is neither a user postgres nor nobody to run it"
    )


class Cluster:
    """One server in one folder, stopped without ceremony: its data is never wanted again."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, url: str) -> None:
        self.url = url
        self._process = process
        self._folder = folder

    def stop(self) -> None:
        # SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, and no waiting for clients.
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def let_go(self) -> None:
        """Leave the server running after this process."""
        # Popen complains when it is dropped with its program still running; here that is the point.
        self._process.returncode = 0

    @property
    def stop_command(self) -> str:
        return f"kill -QUIT {self._process.pid} && rm -rf {self._folder}"


def start(programs: Programs, folder: Path, settings: Mapping[str, str]) -> Cluster:
    """Make a server in `folder` and return once it takes connections (about a second).

    Raises:
        DidNotStart: with what initdb or the server said.
    """
    user = server_user()
    programs = reachable(programs, user)
    data = folder / "data"
    data.mkdir(mode=0o700)
    _give(data, user)
    password = secrets.token_hex(16)
    try:
        _initdb(programs, data, password, user)
    except PermissionError as error:
        raise DidNotStart(
            f"user {user.uid} may not enter {folder}: point TMPDIR at a folder open to it"
        ) from error
    log = folder / "log"
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        port = _free_port()
        process = _spawn(programs, data, log, {**_SETTINGS, **settings, "port": str(port)}, user)
        try:
            if _becomes_ready(process, data):
                return Cluster(process, folder, _url(password, port))
        except BaseException:
            # Ctrl-C in the middle of a start leaves no server behind.
            process.kill()
            process.wait()
            raise
        # Somebody may have taken the port since it was found free: worth another try, whatever the log says.
        if attempt == _PORT_ATTEMPTS:
            raise DidNotStart(f"the server ended with status {process.returncode}: {_last_lines(log)}")
    raise AssertionError  # the loop returns or raises


def stop_abandoned(folder: Path) -> None:
    """Stop the server whose owner is gone, if it runs; its data folder is in `folder`."""
    pid = running_pid(folder)
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGQUIT)
    end = time.monotonic() + _STOP_SECONDS
    while running_pid(folder) == pid:
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def running_pid(folder: Path) -> int | None:
    """The process id of the server on the data of `folder`; None where none runs."""
    data = folder / "data"
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    # The file outlives a killed server, and its number may be another program's by now.
    return pid if str(data) in _command_line(pid) else None


def reachable(programs: Programs, user: ServerUser) -> Programs:
    """`programs`, or a copy of them that `user` can execute.

    Root's virtual environment often lies below /root, where nobody else may look. The copy is made once.
    """
    if user.uid is None or _runs_as(programs.postgres, user):
        return programs
    # The time tells an upgraded installation from the one that an older copy was made of.
    copy = base_folder() / f"programs-{programs.major}-{programs.postgres.stat().st_mtime_ns:x}"
    if not copy.exists():
        draft = copy.with_name(f"new-{secrets.token_hex(4)}")
        for part in programs.parts:
            if (programs.home / part).is_dir():
                shutil.copytree(programs.home / part, draft / part, symlinks=True, dirs_exist_ok=True)
        for folder in (draft, *(found for found in draft.rglob("*") if found.is_dir())):
            folder.chmod(0o755)
        try:
            draft.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(draft, ignore_errors=True)
    return replace(programs, folder=copy / programs.folder.relative_to(programs.home), home=copy)


def _runs_as(program: Path, user: ServerUser) -> bool:
    try:
        subprocess.run(
            [program, "--version"], check=True, capture_output=True, cwd="/",
            user=user.uid, group=user.gid, extra_groups=user.groups,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _give(path: Path, user: ServerUser) -> None:
    if user.uid is not None and user.gid is not None:
        os.chown(path, user.uid, user.gid)


def _initdb(programs: Programs, data: Path, password: str, user: ServerUser) -> None:
    """Make the data folder: UTF-8 in the C locale, which sorts alike everywhere; a password for all."""
    secret = data.with_name("password")
    secret.touch(mode=0o600)
    secret.write_text(f"{password}\n")
    _give(secret, user)
    command: list[str | Path] = [
        programs.initdb, "--pgdata", data, "--username", SUPERUSER, "--pwfile", secret,
        "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, check=False, cwd=data, env=_environment(),
        user=user.uid, group=user.gid, extra_groups=user.groups,
    )  # fmt: skip
    secret.unlink()
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise DidNotStart(f"initdb: {said[-1] if said else done.returncode}")


def _spawn(
    programs: Programs, data: Path, log: Path, settings: Mapping[str, str], user: ServerUser
) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [programs.postgres, "-D", data]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    # A session of its own: Ctrl-C in the terminal goes to the owner, which then stops the server.
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=data, env=_environment(),
            start_new_session=True, user=user.uid, group=user.gid, extra_groups=user.groups,
        )  # fmt: skip


def _becomes_ready(process: subprocess.Popen[bytes], data: Path) -> bool:
    """Wait until the server says it is ready; False where it ended instead."""
    end = time.monotonic() + _START_SECONDS
    status = data / "postmaster.pid"
    while process.poll() is None:
        with contextlib.suppress(OSError):
            # The eighth line is the server's state: "starting", "ready", …
            lines = status.read_text().splitlines()
            if len(lines) > 7 and lines[7].strip() == "ready":
                return True
        if time.monotonic() > end:
            raise DidNotStart(f"the server was not ready after {_START_SECONDS} s")
        time.sleep(0.01)
    return False


def _free_port() -> int:
    """One that the system gives to nobody by itself: those it gives to whoever connects could be taken by then."""
    with socket.socket() as probe:
        for _ in range(_PORT_ATTEMPTS):
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", _FIRST_PORT + secrets.randbelow(_PORTS)))
                break
        else:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _url(password: str, port: int) -> str:
    return f"postgresql://{SUPERUSER}:{quote(password)}@127.0.0.1:{port}/postgres"


def _environment() -> dict[str, str]:
    """Ours without the variables that reach into the server (PGDATA, PGPORT, locale) or name root's home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "HOME": "/"}


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " · ".join(line.strip() for line in lines[-3:]) or "it said nothing"


def _command_line(pid: int) -> str:
    """The command line of a process; empty where there is no such process."""
    proc = Path("/proc")
    if (proc / "self").exists():
        try:
            return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    said = subprocess.run(
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return said.stdout
