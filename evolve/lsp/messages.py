"""What the language server and the process that judges say to each other: one line of JSON each.

Places in a text count characters of Python from 0; the server makes of them what the editor counts in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from evolve.values import dataclass

Job = Literal["judge", "mend"]


@dataclass(frozen=True, slots=True)
class Question:
    """
    Args:
        job: "judge" the file, or also "mend" what is sure.
        file: absolute path.
        text: as the editor has it.
        others: texts of other files that are open, by their paths.
        anew: something was saved that no time of a known file tells of.
    """

    job: Job
    file: str
    text: str
    others: Mapping[str, str]
    anew: bool = False

    def to_line(self) -> bytes:
        return _line(
            [self.job, self.file, self.text, dict(self.others), self.anew],
        )

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        return cls(*json.loads(line))


@dataclass(frozen=True, slots=True)
class Change:
    """`text` in the place of the characters from `start` up to `end`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Mend:
    """Changes that belong together; `title` is an order: "Build the index concurrently"."""

    title: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """One finding, or what keeps the file from being judged.

    Args:
        severity: "error", "warning" or "info".
        code: the rule's id; empty where it is no rule that speaks.
        start: where the statement begins that it is about.
        end: behind it.
        message: for a list of problems.
        details: for whoever stops at the statement, in Markdown.
        page: file of the rule's page.
        link: the page in a browser or an editor.
        mend: what makes the finding go away for sure.
        allow: what allows it, but for the reason.
    """

    severity: str
    code: str
    start: int
    end: int
    message: str
    details: str = ""
    page: str | None = None
    link: str | None = None
    mend: Mend | None = None
    allow: Mend | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Args:
        is_revision: else nothing is said of the file, whatever stands in it.
        mended: what a question to mend came to; None where there is nothing to mend.
        log: for whoever looks for a fault.
    """

    notes: tuple[Note, ...] = ()
    is_revision: bool = False
    mended: Mend | None = None
    log: str = ""

    def to_line(self) -> bytes:
        return _line(
            {
                "notes": [_plain(note) for note in self.notes],
                "is_revision": self.is_revision,
                "mended": _plain(self.mended) if self.mended is not None else None,
                "log": self.log,
            }
        )

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """
        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        read: dict[str, Any] = json.loads(line)
        return cls(
            notes=tuple(
                Note(**{**note, "mend": _mend(note["mend"]), "allow": _mend(note["allow"])})
                for note in read["notes"]
            ),
            is_revision=bool(read["is_revision"]),
            mended=_mend(read["mended"]),
            log=str(read["log"]),
        )


@dataclass(frozen=True, slots=True)
class RulePage:
    """A rule, for those who write its name."""

    code: str
    name: str
    title: str
    page: str


@dataclass(frozen=True, slots=True)
class Hello:
    """What the process that judges says once, when it is ready."""

    rules: tuple[RulePage, ...]

    def to_line(self) -> bytes:
        return _line([_plain(rule) for rule in self.rules])

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        return cls(tuple(RulePage(**rule) for rule in json.loads(line)))


def _mend(read: dict[str, Any] | None) -> Mend | None:
    if read is None:
        return None
    return Mend(read["title"], tuple(Change(**change) for change in read["changes"]))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Note | Mend | Change | RulePage):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
