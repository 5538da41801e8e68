"""The process that judges, as the language server sees it: asked one thing at a time, started where it is not there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from evolve.lsp.messages import Answer, Hello, Question, RulePage

_LONGEST = 64 * 2**20  # bytes of one answer
_PATIENCE = 600.0  # seconds for one answer; a long history that nobody has read before takes minutes
_FAREWELL = 2.0  # seconds to end by itself


class WorkerEnded(Exception):
    """It ended before it answered; the message says how."""


class Remote:
    """
    Args:
        arguments: of `evolve.lsp.worker`.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self._arguments = tuple(arguments)
        self._process: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()
        self._closed = False
        self.rules: tuple[RulePage, ...] = ()

    async def ask(self, question: Question) -> Answer:
        """
        Raises:
            WorkerEnded: it does not answer; the next question starts another one.
        """
        # Whoever asks may lose interest; the answer comes all the same, and must not be taken for the next one.
        return await asyncio.shield(asyncio.ensure_future(self._ask(question)))

    async def _ask(self, question: Question) -> Answer:
        async with self._one_at_a_time:
            process = self._process or await self._start()
            try:
                if process.stdin is None:
                    raise WorkerEnded
                process.stdin.write(question.to_line())
                await process.stdin.drain()
                return Answer.from_line(await self._line(process))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise await self._ended(process) from error

    async def close(self) -> None:
        """Let it end, and see to it that it does; whoever waits for an answer gets none."""
        self._closed = True
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _FAREWELL)
        except TimeoutError:
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """End it at once."""
        self._closed = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def _start(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise WorkerEnded("the server is closed")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "evolve.lsp.worker",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST,
        )
        self._process = process
        try:
            self.rules = Hello.from_line(await self._line(process)).rules
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise await self._ended(process) from error
        return process

    async def _line(self, process: asyncio.subprocess.Process) -> bytes:
        if process.stdout is None:
            return b""
        return await asyncio.wait_for(process.stdout.readline(), _PATIENCE)

    async def _ended(self, process: asyncio.subprocess.Process) -> WorkerEnded:
        self._process = None
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        status = await process.wait()
        how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return WorkerEnded(f"the process that judges revisions ended {how}")
