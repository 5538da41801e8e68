"""Reads revisions in a process of their own, so that none can end, hang, flood or change the one that judges them.

The two speak JSON over pipes: what comes back is data that can be wrong at worst, never code that runs. A process that
dies or hangs costs the revision that it was reading; another goes on behind it.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import pickle
import re
import resource
import select
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol

from evolve.revisions.cache.codec import decode_recording, decode_schema, encode_recording, encode_schema
from evolve.revisions.history import RevisionFile
from evolve.revisions.light_start import light_start
from evolve.revisions.memory import After, Memory, NoMemory, OwnModules
from evolve.revisions.project import Project
from evolve.sql.schema import Schema
from evolve.sql.steps import Mark, Place, Recording, Remark
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.revisions.capture import Direction
    from evolve.revisions.reflection import Reflection

_GRACE = 3.0  # seconds after the time limit, within which the process should have ended the revision itself
_SETTING_UP = 60.0  # seconds for Python and Alembic to load
_LONGEST = 512 * 1024 * 1024  # bytes of one message
_MOST_MEMORY = 4 * 1024**3  # bytes of address space beyond what the process begins with
_NAP = 0.01  # seconds between looks at a process that asks nothing: to wake up for each message is not cheap
_MOST_AHEAD = 3000  # statements that are parsed before they are asked for; the parser keeps the last 4096
_LENGTH = struct.Struct("!I")
_OF_BOTH = ("ctypes", "decimal", "importlib.metadata", "tempfile")  # modules that both processes would import

Begin = Callable[[], Schema]
Capture = Callable[["_Line"], object]
Hear = Callable[[Recording], object]


class Start(Protocol):
    """Starts the process that reads `revisions` and speaks over `Pipes`; answers its process id."""

    def __call__(self, pipes: Pipes) -> int: ...


@dataclass(frozen=True, slots=True)
class Pipes:
    """The ends that the reading process holds: what it asks and says, what it is told, where its stack goes.

    Args:
        others: the ends of the process that asks. A copy of that closes them, so that it is told when nobody asks
            any more.
    """

    says: int
    hears: int
    stack: int
    others: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """A process that reads, and the ends that the one that asks holds."""

    child: int
    listens: int
    tells: int
    stack: int


def start_reader(start: Start) -> Reader:
    listens, says = os.pipe()
    hears, tells = os.pipe()
    stack, stack_in = os.pipe()
    try:
        child = start(Pipes(says, hears, stack_in, (listens, tells, stack)))
    finally:
        for end in (says, hears, stack_in):
            os.close(end)
    return Reader(child, listens, tells, stack)


class Early:
    """A process that imports Alembic while this one still finds out what it shall read.

    Whoever begins it ends it with `end`, whether it was of use or not.
    """

    def __init__(self, project: Project, time_limit: float) -> None:
        self._work = partial(_read_early, project, time_limit)
        self._reader: Reader | None = None

    def begin(self) -> None:
        if can_fork():
            self._reader = start_reader(_copy(self._work))

    def take(self, revisions: Sequence[RevisionFile], begin: Begin | None) -> Reader | None:
        """Let it read the upgrades of `revisions`; None where there is none, or not any more."""
        reader, self._reader = self._reader, None
        if reader is not None:
            asks = None if begin is None else begin is not Schema
            # It may have ended, which is found out where it should answer.
            with suppress(BrokenPipeError), os.fdopen(reader.tells, "wb", closefd=False) as tells:
                _write_bytes(tells, pickle.dumps((tuple(revisions), asks)))
        return reader

    def end(self) -> None:
        """End it, unless somebody took it."""
        reader, self._reader = self._reader, None
        if reader is not None:
            _kill(reader.child)
            os.waitpid(reader.child, 0)
            for end in (reader.listens, reader.tells, reader.stack):
                os.close(end)


class ReaderFailed(Exception):
    """Evolve itself failed in the other process."""


def can_fork() -> bool:
    """A copy of a process with several threads has one, and locks that the others held."""
    return hasattr(os, "fork") and threading.active_count() == 1


def capture_apart(
    project: Project,
    revisions: Sequence[RevisionFile],
    *,
    direction: Direction = "upgrade",
    time_limit: float = 10.0,
    begin: Begin | None = None,
    memory: Memory | None = None,
    start: Start | None = None,
    early: Early | None = None,
    meanwhile: Callable[[], object] = lambda: None,
    hear: Hear = lambda _: None,
) -> list[Recording]:
    """Do as `capture` does, in a process of its own; in this one where it has several threads and cannot be copied.

    Args:
        begin: the schema before the first of `revisions`, asked for where a revision asks; without it each question is
            answered as by an empty database.
        start: starts a process that runs `serve`; a copy of this one unless given.
        early: a copy that was made before and reads in the place of the first; for upgrades alone.
        meanwhile: called once while that process imports Alembic; not at all where there is none.
        hear: told of recordings from the first on, in their order, while later ones are read. It need not be told of
            all; and what ends the process with its last word half said makes another of the one told last.

    Raises:
        ReaderFailed: evolve fails in the other process, on no account of a revision.
    """

    def read(memory: Memory, begin: Begin | None, beat: Callable[[], None] = lambda: None) -> list[Recording]:
        return _import_capture()(
            project,
            revisions,
            direction=direction,
            time_limit=time_limit,
            reflect=_reflect(begin),
            memory=memory,
            beat=beat,
        )

    if start is None and not can_fork():
        return read(memory or NoMemory(), begin)
    # An empty schema need not be asked for: the answer would have to wait for what hears.
    copied = _copy(
        lambda pipes: serve(
            lambda line: read(line, begin if begin in (None, Schema) else line.schema, line.began),
            revisions,
            pipes,
        )
    )
    parent = _Parent(
        revisions,
        start or copied,
        early.take(revisions, begin) if early is not None else None,
        time_limit,
        memory or NoMemory(),
        begin or Schema,
        meanwhile,
        hear,
    )
    while not parent.done:
        parent.run_once()
    return [parent.known[place][0] for place in range(len(revisions))]


def _copy(work: Callable[[Pipes], object]) -> Start:
    """A copy of this process; it shares nothing with it any more but the pipes and what lies on disk."""

    def start(pipes: Pipes) -> int:
        for name in _OF_BOTH:
            import_module(name)
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child:
            return child
        _in_the_copy(work, pipes)

    return start


def _in_the_copy(work: Callable[[Pipes], object], pipes: Pipes) -> NoReturn:
    status = 1
    try:
        os.setpgid(0, 0)
        for end in pipes.others:
            os.close(end)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        work(pipes)
        status = 0
    finally:
        os._exit(status)  # what is to run at exit belongs to the process this was copied from


def _read_early(project: Project, time_limit: float, pipes: Pipes) -> None:
    told: list[bytes] = []

    def listen() -> None:
        # Without a buffer, which would take what comes behind it.
        with os.fdopen(pipes.hears, "rb", buffering=0, closefd=False) as hears, suppress(struct.error):
            told.append(_read_bytes(hears))

    # A pipe holds less than it may be told: whoever tells is not kept waiting until the imports are done.
    listening = threading.Thread(target=listen)
    listening.start()
    with suppress(Exception):  # it is said where somebody asks
        _import_capture()
    gc.freeze()  # what was imported stays
    listening.join()
    if not told:
        return  # nobody asks any more
    revisions, asks = pickle.loads(told[0])  # noqa: S301  # of the process this was copied from

    def read(line: _Line) -> None:
        begin = None if asks is None else line.schema if asks else Schema
        _import_capture()(
            project,
            revisions,
            time_limit=time_limit,
            reflect=_reflect(begin),
            memory=line,
            beat=line.began,
        )

    serve(read, revisions, pipes)


def _import_capture() -> Callable[..., list[Recording]]:
    with light_start():
        from evolve.revisions.capture import capture
        from evolve.revisions.replayed_schema import ReplayedSchema  # noqa: F401  # it imports SQLAlchemy's own

    return capture


def _reflect(begin: Begin | None) -> Reflection | None:
    from evolve.revisions.replayed_schema import ReplayedSchema

    return ReplayedSchema(begin=begin) if begin is not None else None


def serve(capture: Capture, revisions: Sequence[RevisionFile], pipes: Pipes) -> None:
    """Read in this process, and say over `pipes` what comes of it."""
    _limit()
    faulthandler.enable(file=pipes.stack, all_threads=False)
    faulthandler.register(signal.SIGUSR1, file=pipes.stack, all_threads=False)
    with os.fdopen(pipes.says, "wb") as says, os.fdopen(pipes.hears, "rb") as hears:
        line = _Line(revisions, says, hears)
        try:
            capture(line)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the other process has to know
            frames = reversed(traceback.extract_tb(error.__traceback__))
            came = "".join(f'File "{frame.filename}", line {frame.lineno}\n' for frame in frames)
            _send(says, ["failed", f"{type(error).__name__}: {error}".rstrip(": "), came])
        else:
            _send(says, ["done"])


def _limit() -> None:
    """No file grows, no core is dumped, and memory is what a history needs and no more."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    begun = 0
    if sys.platform == "linux":
        begun = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_AS: begun + _MOST_MEMORY}
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)  # the same limit, as far as it may be set
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS sets no limit to the address space
            continue


# -- the process that reads ---------------------------------------------------------------------------------
class _Line:
    """A `Memory` at the other end of the pipes."""

    def __init__(self, revisions: Sequence[RevisionFile], says: IO[bytes], hears: IO[bytes]) -> None:
        self._places = {file.revision: place for place, file in enumerate(revisions)}
        self._says = says
        self._hears = hears
        self._place = 0
        self._modules: tuple[int, list[str]] = (0, [])
        transactions, left_open, settled, self.empty, self._learns = _receive(hears)
        self.start = After(transactions, left_open, settled)

    def began(self) -> None:
        """A reading begins; the time it may take counts from now."""
        _send(self._says, ["began", self._place])

    def schema(self) -> Schema:
        """The schema before the first revision."""
        _send(self._says, ["schema"])
        (encoded,) = _receive(self._hears)
        return decode_schema(str(encoded).encode())

    def recall(self, file: RevisionFile) -> tuple[Recording, After] | None:
        self._place = self._places[file.revision]
        if self.empty:
            return None
        _send(self._says, ["recall", self._place])
        answer = _receive(self._hears)
        return decode_recording(str(answer[0]).encode(), file) if answer[0] is not None else None

    def learn(self, file: RevisionFile, recording: Recording, after: After, own: OwnModules) -> None:
        encoded = encode_recording(recording, after).decode()
        count = len(sys.modules)
        if self._learns and count != self._modules[0]:  # to look through all of them takes its time
            self._modules = count, [str(path) for path in own()]
        # It goes with the next message; no revision runs before that.
        _write(self._says, ["learn", self._place, encoded, after.settled, self._modules[1]])


# -- the process that asks ----------------------------------------------------------------------------------
@dataclass(slots=True)
class _Parent:
    revisions: Sequence[RevisionFile]
    start: Start
    reader: Reader | None
    time_limit: float
    memory: Memory
    begin: Begin
    meanwhile: Callable[[], object]
    hear: Hear
    known: dict[int, tuple[Recording, After]] = field(default_factory=dict)
    reading: int | None = None
    failed: str | None = None
    came: str = ""
    ahead: int = 0
    told: int = 0

    @property
    def done(self) -> bool:
        return len(self.known) == len(self.revisions)

    def run_once(self) -> None:
        """Start a process, and listen to it until it has read all, or one that it cannot read."""
        reader, self.reader = self.reader or start_reader(self.start), None
        self.reading, self.failed, self.came = None, None, ""
        late = False
        try:
            with (
                suppress(BrokenPipeError),  # it ended before it was answered
                os.fdopen(reader.listens, "rb", buffering=0) as listens,
                os.fdopen(reader.tells, "wb") as tells,
            ):
                late = not self._listen(listens, tells)
                if late:
                    os.kill(reader.child, signal.SIGUSR1)
                    time.sleep(0.2)  # the stack is written in the handler of the signal
        finally:
            _kill(reader.child)
            _, status = os.waitpid(reader.child, 0)
            os.set_blocking(reader.stack, False)
            text = _read_rest(reader.stack)
        if not self.done:
            self._give_up(late, status, self.came or text)

    def _listen(self, listens: IO[bytes], tells: IO[bytes]) -> bool:
        """Answer until the process ends; False where it does not go on in time."""
        start = self.memory.start
        empty = not self.known and self.memory.empty
        learns = not isinstance(self.memory, NoMemory)
        _send(tells, [start.transactions, start.open, start.settled, empty, learns])
        self.meanwhile()
        self.meanwhile = lambda: None
        deadline = time.monotonic() + _SETTING_UP
        messages = _Messages(listens.fileno(), _NAP if empty else 0.0)
        while True:
            message = messages.next(deadline)
            if message is None:
                return messages.ended
            match message:
                case ["schema"]:
                    _send(tells, [encode_schema(self.begin()).decode()])
                case ["recall", int(place)] if 0 <= place < len(self.revisions):
                    recalled = self.known.get(place) or self.memory.recall(self.revisions[place])
                    if recalled is not None:
                        self.known[place] = recalled
                    else:
                        self.reading = place
                    _send(tells, [encode_recording(*recalled).decode() if recalled is not None else None])
                    deadline = time.monotonic() + self.time_limit + _GRACE
                case ["began", int(place)] if 0 <= place < len(self.revisions) and place not in self.known:
                    self.reading = place
                    deadline = time.monotonic() + self.time_limit + _GRACE
                case ["learn", int(place), str(text), bool(settled), list(own)] if (
                    place == self.reading and place not in self.known
                ):
                    if not self._learn(place, text, settled, [Path(str(path)) for path in own]):
                        return True
                    deadline += self._tell()
                case ["done"]:
                    return True
                case ["failed", str(said), str(came)]:
                    self.failed, self.came = said, came
                    return True
                case _:
                    return True  # it is not evolve any more that speaks there

    def _learn(self, place: int, text: str, settled: bool, own: list[Path]) -> bool:
        """Take in what was read; False where it is not what evolve would have sent."""
        file = self.revisions[place]
        try:
            recording, after = decode_recording(text.encode(), file)
        except (ValueError, KeyError, TypeError):
            return False
        after = After(after.transactions, after.open, settled)
        self.known[place] = recording, after
        self._read_ahead(recording)
        self.memory.learn(file, recording, after, lambda: own)
        return True

    def _tell(self) -> float:
        """Tell of what is known without a gap before it; answers the seconds that took, which nobody waited for."""
        began = time.monotonic()
        while self.told in self.known:
            self.hear(self.known[self.told][0])
            self.told += 1
        return time.monotonic() - began

    def _read_ahead(self, recording: Recording) -> None:
        """Parse its statements, whose operations are kept, while the other process goes on: all are asked for later."""
        parser = sys.modules.get("evolve.sql.parse")
        if parser is None or self.ahead >= _MOST_AHEAD:
            return
        self.ahead += len(recording.statements)
        for statement in recording.statements:
            parser.parse(statement.sql)

    def _give_up(self, late: bool, status: int, stack: str) -> None:
        """Say of the revision that was being read what became of its process."""
        place = self.reading
        if place is None:
            raise ReaderFailed(self.failed or stack or f"the process that reads ended with status {status}")
        file = self.revisions[place]
        if late:
            mark, said = (
                Mark.TIMED_OUT,
                f"after {self.time_limit:g} s, in something that cannot be interrupted",
            )
        elif self.failed is not None:
            mark, said = Mark.RAISED, f"its reading failed: {self.failed}"
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
            mark = Mark.RAISED
            said = f"it ended the process that read it, by signal {signal.Signals(os.WTERMSIG(status)).name}"
        else:
            mark, said = Mark.RAISED, "it ended the process that read it"
        remark = Remark(mark, Place(file.path, _line_in(stack, file.path)), said)
        recording = Recording(
            file.revision, file.down_revisions, file.path, (), (remark,), metadata=file.metadata
        )
        before = self.known[place - 1][1] if place - 1 in self.known else self.memory.start
        self.known[place] = recording, After(before.transactions, before.open)


def _kill(child: int) -> None:
    for send in (os.killpg, os.kill):
        try:
            send(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _line_in(stack: str, path: Path) -> int:
    """The innermost line of the file in what faulthandler wrote; that names files of up to 500 letters."""
    found = re.search(rf'File "{re.escape(str(path))}", line (\d+)', stack)
    return int(found[1]) if found else 0


def _read_rest(end: int) -> str:
    with os.fdopen(end, "rb") as stream:
        return (stream.read() or b"").decode(errors="replace")


# -- messages -----------------------------------------------------------------------------------------------
def _send(stream: IO[bytes], message: list[object]) -> None:
    _write(stream, message)
    stream.flush()


def _write(stream: IO[bytes], message: list[object]) -> None:
    _write_bytes(stream, json.dumps(message).encode())


def _write_bytes(stream: IO[bytes], data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)) + data)


def _receive(stream: IO[bytes]) -> list[Any]:
    message: list[Any] = json.loads(_read_bytes(stream))
    return message


def _read_bytes(stream: IO[bytes]) -> bytes:
    (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    data = b""
    while len(data) < length and (more := stream.read(length - len(data))):
        data += more
    return data


class _Messages:
    """Messages as they come in, each up to a deadline."""

    def __init__(self, end: int, nap: float) -> None:
        self._end = end
        self._nap = nap  # seconds from one look for more to the next
        self._looked = 0.0
        self._buffer = bytearray()
        self.ended = False

    def next(self, deadline: float) -> object:
        """None where no whole message comes in time, where none will come any more, and where it is no message."""
        while (whole := self._whole()) is None:
            time.sleep(max(self._looked + self._nap - time.monotonic(), 0.0))
            self._looked = time.monotonic()
            left = deadline - self._looked
            if left <= 0 or not select.select([self._end], [], [], left)[0]:
                return None
            data = os.read(self._end, 1 << 20)
            self._buffer += data
            if not data or len(self._buffer) > _LONGEST:
                self.ended = True
                return None
        try:
            message: object = json.loads(whole)
        except ValueError:
            self.ended = True
            return None
        return message

    def _whole(self) -> bytes | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if len(self._buffer) < _LENGTH.size + length:
            return None
        whole = bytes(self._buffer[_LENGTH.size : _LENGTH.size + length])
        del self._buffer[: _LENGTH.size + length]
        return whole
