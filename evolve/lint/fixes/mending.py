"""What mending files came to: each as it was and as it would be, and what is left."""

from __future__ import annotations

import difflib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from evolve.lint.model import Finding, Report
from evolve.values import dataclass

_LINE = re.compile(
    r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+"
)  # as Python and editors count them: a form feed ends none


@dataclass(frozen=True, slots=True)
class Mended:
    """One file with the fixes made in it, each with the line of its finding and its title."""

    file: Path
    before: bytes
    after: bytes
    fixes: tuple[tuple[Finding, str], ...]

    @property
    def changes(self) -> Iterator[tuple[int, int, str]]:
        """First line, the line behind the last, from 1, and what comes in their place."""
        old, new = _LINE.findall(self.old_text), _LINE.findall(self.new_text)
        for kind, a, b, c, d in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
            if kind != "equal":
                yield a + 1, b + 1, "".join(new[c:d])

    @property
    def old_text(self) -> str:
        return decode(self.before)

    @property
    def new_text(self) -> str:
        return decode(self.after)


@dataclass(frozen=True, slots=True)
class Left:
    """A finding that is not mended, and why.

    Args:
        finding: with all that is mended, which may have moved its line.
        before: with the files as they are.
    """

    finding: Finding
    before: Finding
    reason: str


@dataclass(frozen=True, slots=True)
class Mending:
    """
    Args:
        before: the report on the files as they are.
        after: on them with all that is `mended`.
    """

    mended: tuple[Mended, ...]
    left: tuple[Left, ...]
    before: Report
    after: Report


def decode(raw: bytes) -> str:
    """As Python reads a file of these bytes, without its byte order mark, its line ends as they are."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    return raw.decode(encoding)


def encode(text: str, like: bytes) -> bytes:
    """In the encoding of `like`, with its byte order mark where it has one."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(like).readline)
    return text.encode(encoding)
