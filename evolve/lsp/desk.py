"""The files that are open, and when each is judged: the newest text only, one at a time, the last one edited first."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from evolve.lsp.messages import Answer, Job, Mend, Question, RulePage
from evolve.lsp.remote import WorkerEnded
from evolve.values import dataclass

_MOST_ENDS = 5  # of the process that judges, within
_WITHIN = 60.0  # seconds


class Worker(Protocol):
    rules: tuple[RulePage, ...]

    async def ask(self, question: Question) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Document:
    """
    Args:
        version: the editor's number of this text.
        saved: the file holds it too.
    """

    file: str
    text: str
    version: int | None
    saved: bool = True


@dataclass(frozen=True, slots=True)
class Judged:
    document: Document
    answer: Answer


class Desk:
    """
    Args:
        publish: told of each judgement that is still of the text that the editor has.
        log: told what somebody may look for who misses something.
        tell: told what the user has to know.
    """

    def __init__(
        self,
        worker: Worker,
        publish: Callable[[str, Judged], None],
        log: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._worker, self._publish, self._log, self._tell = worker, publish, log, tell
        self._documents: dict[str, Document] = {}
        self._judged: dict[str, Judged] = {}
        self._waiting: dict[str, None] = {}
        self._at: str | None = None
        self._anew = False
        self._turn = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._ends: deque[float] = deque(maxlen=_MOST_ENDS)
        self._told: set[str] = set()

    # -- what the editor says --------------------------------------------------------------------------------
    def opened(self, uri: str, document: Document) -> None:
        self._documents[uri] = document
        self._wait_for(uri)

    def changed(self, uri: str, text: str, version: int | None) -> None:
        known = self._documents.get(uri)
        if known is not None:
            self._documents[uri] = Document(known.file, text, version, saved=False)
            self._wait_for(uri)

    def saved(self, uri: str) -> None:
        known = self._documents.get(uri)
        if known is not None:
            self._documents[uri] = replace(known, saved=True)
        self.all_anew()
        if known is not None:
            self._wait_for(uri)

    def all_anew(self) -> None:
        """Something beside the open files is another one."""
        self._anew = True
        self._ends.clear()
        for uri in self._documents:
            self._wait_for(uri)

    def closed(self, uri: str) -> None:
        self._documents.pop(uri, None)
        self._judged.pop(uri, None)
        self._waiting.pop(uri, None)

    # -- what the editor asks --------------------------------------------------------------------------------
    async def judged(self, uri: str) -> Judged | None:
        """What is said of the text that the editor has now; None where it is closed, or could not be judged."""
        while uri in self._waiting or self._at == uri:
            await self._turn.wait()
        found, document = self._judged.get(uri), self._documents.get(uri)
        return (
            found if found is not None and document is not None and _same(found.document, document) else None
        )

    async def mended(self, uri: str) -> tuple[Document, Mend] | None:
        """What mends all that is sure in the text that the editor has now; None where there is nothing."""
        document = self._documents.get(uri)
        answer = await self._ask(uri, document, "mend") if document is not None else None
        if answer is None or answer.mended is None or document is None:
            return None
        now = self._documents.get(uri)
        return (document, answer.mended) if now is not None and _same(document, now) else None

    @property
    def rules(self) -> tuple[RulePage, ...]:
        return self._worker.rules

    # -- judging ---------------------------------------------------------------------------------------------
    def _wait_for(self, uri: str) -> None:
        self._waiting.pop(uri, None)
        self._waiting[uri] = None
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._judge_all())

    async def _judge_all(self) -> None:
        while self._waiting:
            uri, _ = self._waiting.popitem()
            self._at = uri
            try:
                await self._judge(uri, self._documents[uri])
            finally:
                self._at = None
                self._turn.set()
                self._turn = asyncio.Event()

    async def _judge(self, uri: str, document: Document) -> None:
        answer = await self._ask(uri, document, "judge")
        now = self._documents.get(uri)
        if answer is None or now is None or not _same(document, now):
            return
        self._judged[uri] = Judged(now, answer)
        self._publish(uri, self._judged[uri])

    async def _ask(self, uri: str, document: Document, job: Job) -> Answer | None:
        """None where the process that judges ends time and again."""
        anew, self._anew = self._anew, False
        question = Question(job, document.file, document.text, dict(self._others(uri)), anew)
        for _ in range(2):
            if len(self._ends) == _MOST_ENDS and time.monotonic() - self._ends[0] < _WITHIN:
                self._once(
                    "revisions are not judged any more until a file is saved: the process that does it keeps ending"
                )
                return None
            try:
                answer = await self._worker.ask(question)
            except WorkerEnded as end:
                self._ends.append(time.monotonic())
                self._log(str(end))
                self._once(f"{end}; it is started again")
                continue
            if answer.log:
                self._log(answer.log)
            return answer
        return None

    def _others(self, uri: str) -> Iterator[tuple[str, str]]:
        """Revisions whose text is not the one on the disk."""
        for other, document in self._documents.items():
            known = self._judged.get(other)
            if other != uri and not document.saved and known is not None and known.answer.is_revision:
                yield document.file, document.text

    def _once(self, words: str) -> None:
        kind = words.partition(":")[0].partition(" ended")[0]
        if kind not in self._told:
            self._told.add(kind)
            self._tell(f"evolve: {words}")


def _same(one: Document, other: Document) -> bool:
    return one.version == other.version and one.text == other.text
