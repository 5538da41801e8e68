"""Which texts are judged, which answers are shown, and what becomes of a process that keeps ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from evolve.lsp.desk import Desk, Document, Judged
from evolve.lsp.messages import Answer, Change, Mend, Note, Question, RulePage
from evolve.lsp.remote import WorkerEnded

FILE = "file:///x.py"


class FakeWorker:
    """Answers when it is let to; `ends` says how often it ends instead."""

    rules: tuple[RulePage, ...] = ()

    def __init__(self, ends: int = 0) -> None:
        self.asked: list[Question] = []
        self.ends = ends
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        await self.go_on.wait()
        if self.ends:
            self.ends -= 1
            raise WorkerEnded("it ended by signal SIGKILL")
        return Answer(is_revision=True)


class Room:
    """A desk with what it has published and told."""

    def __init__(self, worker: FakeWorker) -> None:
        self.published: list[str] = []
        self.told: list[str] = []
        self.desk = Desk(worker, self.publish, lambda _: None, self.told.append)

    def publish(self, uri: str, judged: Judged) -> None:
        del uri
        self.published.append(judged.document.text)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_only_the_newest_text_waits() -> None:
    async def test() -> None:
        worker = FakeWorker()
        room = Room(worker)
        worker.go_on.clear()
        room.desk.opened(FILE, Document("/x.py", "0", 0))
        for version in range(1, 9):
            await asyncio.sleep(0)
            room.desk.changed(FILE, str(version), version)
        worker.go_on.set()
        await room.desk.judged(FILE)
        assert [question.text for question in worker.asked] == ["0", "8"]
        assert room.published == ["8"]

    run(test)


def test_an_answer_for_a_file_that_is_closed_is_not_shown() -> None:
    async def test() -> None:
        worker = FakeWorker()
        room = Room(worker)
        worker.go_on.clear()
        room.desk.opened(FILE, Document("/x.py", "0", 0))
        await asyncio.sleep(0)
        room.desk.closed(FILE)
        worker.go_on.set()
        assert await room.desk.judged(FILE) is None
        assert room.published == []

    run(test)


def test_one_end_is_made_good_and_told_once() -> None:
    async def test() -> None:
        room = Room(FakeWorker(ends=1))
        room.desk.opened(FILE, Document("/x.py", "0", 0))
        await room.desk.judged(FILE)
        assert room.published == ["0"]
        assert len(room.told) == 1

    run(test)


def test_a_process_that_keeps_ending_is_left_alone_until_something_is_saved() -> None:
    async def test() -> None:
        worker = FakeWorker(ends=1000)
        room = Room(worker)
        room.desk.opened(FILE, Document("/x.py", "0", 0))
        for version in range(1, 20):
            room.desk.changed(FILE, str(version), version)
            await room.desk.judged(FILE)
        assert len(worker.asked) < 8
        assert len(room.told) == 2
        worker.ends = 0
        room.desk.saved(FILE)
        await room.desk.judged(FILE)
        assert room.published == ["19"]

    run(test)


def test_what_is_not_saved_goes_with_the_question_about_another_file() -> None:
    async def test() -> None:
        worker = FakeWorker()
        room = Room(worker)
        room.desk.opened(FILE, Document("/x.py", "0", 0))
        await room.desk.judged(FILE)
        room.desk.changed(FILE, "1", 1)
        await room.desk.judged(FILE)
        room.desk.opened("file:///y.py", Document("/y.py", "y", 0))
        await room.desk.judged("file:///y.py")
        assert worker.asked[-1].others == {"/x.py": "1"}

    run(test)


def test_answers_come_over_a_line_as_they_are() -> None:
    mend = Mend("Build it", (Change(1, 1, "ü\n"), Change(2, 3, "")))
    note = Note("error", "EV102", 1, 2, "a\nb", "details", "/page.md", "file:///page.md", mend)
    answer = Answer((note,), is_revision=True, mended=mend, log="x")
    assert Answer.from_line(answer.to_line()) == answer
