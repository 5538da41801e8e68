"""Reads revisions where the kernel lets them do nothing: no network, writing, processes or secrets.

A fresh interpreter gets an environment without secrets, gives up its capabilities, and asks the kernel to refuse every
system call that is not on a short list (seccomp). What is on the list lets Python compute, read files and answer over
the pipes it was given. There is no way back, for it and for all that it might start.
"""

from __future__ import annotations

import base64
import ctypes
import errno
import os
import pickle
import platform
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evolve.errors import Misuse
from evolve.revisions.apart import Pipes, Start, serve
from evolve.revisions.history import RevisionFile
from evolve.revisions.project import Project

# Nothing else is passed on: DATABASE_URL, PG*, AWS_*, tokens of CI and the like stay behind.
PASSED_ON = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV"})


class NoSandbox(Misuse):
    def __init__(self, missing: str) -> None:
        super().__init__(
            f"--sandbox needs {missing}, which is missing here",
            why="with less than that a revision could reach more than it may, and nobody would notice",
            fix="run it on Linux 4.14 or newer, on x86-64 or ARM64, or leave --sandbox out and lint in a container",
        )


def sandboxed(
    project: Project, revisions: Sequence[RevisionFile], *, time_limit: float, asks: bool, direction: str
) -> Start:
    """Start readers that are contained by the kernel.

    Args:
        asks: they have a schema to ask for where a revision asks for one.

    Raises:
        NoSandbox: this platform cannot contain one.
    """
    missing = what_is_missing()
    if missing is not None:
        raise NoSandbox(missing)
    driver, separator, _ = (project.database_url or "").partition("://")  # the rest holds the password
    project = replace(project, database_url=f"{driver}{separator}" or None)
    # To the child, from the parent that it was started by; nothing that is pickled ever comes back.
    task = base64.b64encode(pickle.dumps((project, tuple(revisions), time_limit, asks, direction)))

    def start(pipes: Pipes) -> int:
        # Else the child, which has the same user, could read this process's memory and environment in /proc.
        _checked(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
        child = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, (pipes.says, pipes.hears, pipes.stack))],
            env=clean(os.environ) | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=pipes.stack,
            pass_fds=(pipes.says, pipes.hears, pipes.stack),
            start_new_session=True,
        )
        if child.stdin is not None:
            with child.stdin:
                child.stdin.write(task)
        child.returncode = 0  # it is waited for by its id
        return child.pid

    return start


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name in PASSED_ON} | {
        "PYTHONDONTWRITEBYTECODE": "1"
    }


def what_is_missing() -> str | None:
    """What of the platform stands in the way; None where nothing does."""
    if sys.platform != "linux":
        return "Linux, whose kernel can refuse system calls,"
    if platform.machine() not in _CALLS or struct.calcsize("P") != 8:
        return "an x86-64 or ARM64 processor"
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "/proc"
    return None if "Seccomp:" in status else "a kernel with seccomp"


# -- in the process that is contained -----------------------------------------------------------------------
def main() -> None:
    says, hears, stack = map(int, sys.argv[1:4])
    pipes = Pipes(says, hears, stack, ())
    task = base64.b64decode(sys.stdin.buffer.read())
    project, revisions, time_limit, asks, direction = pickle.loads(task)  # noqa: S301  # of the parent
    # Loaded before the door closes: what they set up while they load is theirs.
    from evolve.revisions.capture import capture
    from evolve.revisions.replayed_schema import ReplayedSchema

    def run(line: object) -> None:
        contain()
        capture(
            project,
            revisions,
            direction=direction,
            time_limit=time_limit,
            reflect=ReplayedSchema(begin=line.schema) if asks else None,  # type: ignore[attr-defined]
            memory=line,  # type: ignore[arg-type]  # serve gives a memory
            beat=line.began,  # type: ignore[attr-defined]
        )

    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    serve(run, revisions, pipes)


_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 22, 2, 38, 4
_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_GREATER, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE = 0x00050000 | errno.EPERM
_NO_SUCH_CALL = 0x00050000 | errno.ENOSYS
_X32 = 0x40000000

# Numbers of system calls: of x86-64 and of ARM64, -1 where it has none such.
_COMPUTE: dict[str, tuple[int, int]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "stat": (4, -1), "fstat": (5, 80), "lstat": (6, -1),
    "poll": (7, -1), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215),
    "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "ioctl": (16, 29), "pread64": (17, 67), "readv": (19, 65), "writev": (20, 66), "access": (21, -1),
    "pipe": (22, -1), "select": (23, -1), "sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233),
    "dup": (32, 23), "dup2": (33, -1), "nanosleep": (35, 101), "getitimer": (36, 102), "alarm": (37, -1),
    "setitimer": (38, 103), "getpid": (39, 172), "exit": (60, 93), "wait4": (61, 260), "uname": (63, 160),
    "fcntl": (72, 25), "getdents": (78, -1), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50),
    "readlink": (89, -1), "gettimeofday": (96, 169), "getrlimit": (97, 163), "getrusage": (98, 165),
    "sysinfo": (99, 179), "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176),
    "geteuid": (107, 175), "getegid": (108, 177), "getppid": (110, 173), "sigaltstack": (131, 132),
    "statfs": (137, 43), "fstatfs": (138, 44), "gettid": (186, 178), "futex": (202, 98),
    "sched_getaffinity": (204, 123), "getdents64": (217, 61), "restart_syscall": (219, 128),
    "fadvise64": (221, 223), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115), "exit_group": (231, 94), "newfstatat": (262, 79), "readlinkat": (267, 78),
    "faccessat": (269, 48), "pselect6": (270, 72), "ppoll": (271, 73), "set_robust_list": (273, 99),
    "dup3": (292, 24), "pipe2": (293, 59), "preadv": (295, 69), "getrandom": (318, 278),
    "membarrier": (324, 283), "statx": (332, 291), "rseq": (334, 293), "faccessat2": (439, 439),
    "arch_prctl": (158, -1),
}  # fmt: skip
_OPEN, _OPENAT = (2, -1), (257, 56)
_TGKILL = (234, 131)
_OPENAT2, _CLONE3 = (437, 437), (435, 435)
_CALLS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_OPENING_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def contain() -> None:
    """Let the kernel refuse everything but computing and reading, for good.

    Raises:
        OSError: the kernel does not take it; nothing may be read then.
    """
    library = ctypes.CDLL(None, use_errno=True)
    _checked(library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _drop_capabilities(library)
    _checked(library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    code = b"".join(_filter(*_CALLS[platform.machine()]))
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(instructions))
    holder = ctypes.create_string_buffer(program, len(program))
    _checked(
        library.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_void_p(ctypes.addressof(holder)), 0, 0)
    )


def _filter(column: int, architecture: int) -> list[bytes]:
    """A program of the kernel's packet filter: load, compare, answer; a jump counts instructions from the next."""

    def instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value & 0xFFFFFFFF)

    program = [
        instruction(_LOAD, 4),
        instruction(_JUMP_EQUAL, architecture, yes=1),
        instruction(_RETURN, _KILL),
        instruction(_LOAD, 0),
        instruction(_JUMP_GREATER, _X32, no=1),
        instruction(_RETURN, _KILL),
    ]
    for call in (_OPENAT2, _CLONE3):  # the C library falls back to the calls that can be looked into
        program += [
            instruction(_JUMP_EQUAL, call[column], no=1),
            instruction(_RETURN, _NO_SUCH_CALL),
        ]
    for call, flags in ((_OPEN, 1), (_OPENAT, 2)):
        if call[column] >= 0:
            program += [
                instruction(_JUMP_EQUAL, call[column], no=4),
                instruction(_LOAD, 16 + 8 * flags),
                instruction(_JUMP_SET, _OPENING_TO_WRITE, no=1),
                instruction(_RETURN, _REFUSE),
                instruction(_RETURN, _ALLOW),
            ]
    program += [  # abort() and faulthandler: a signal to itself
        instruction(_JUMP_EQUAL, _TGKILL[column], no=4),
        instruction(_LOAD, 16),
        instruction(_JUMP_EQUAL, os.getpid(), yes=1),
        instruction(_RETURN, _REFUSE),
        instruction(_RETURN, _ALLOW),
    ]
    for call in _COMPUTE.values():
        if call[column] >= 0:
            program += [instruction(_JUMP_EQUAL, call[column], no=1), instruction(_RETURN, _ALLOW)]
    return [*program, instruction(_RETURN, _REFUSE)]


def _drop_capabilities(library: ctypes.CDLL) -> None:
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
    none = ctypes.create_string_buffer(bytes(24), 24)
    _checked(library.capset(header, none))


def _checked(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
