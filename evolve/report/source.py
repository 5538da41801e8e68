"""The line of a file that a finding is about, and where in it the code stands."""

from __future__ import annotations

import linecache

from evolve.sql.steps import Place
from evolve.values import dataclass

_COMMENTS = {".py": "  # ", ".sql": " -- "}


@dataclass(frozen=True, slots=True)
class SourceLine:
    """`text` without its end; the code in it is `text[first:last]`."""

    text: str
    first: int
    last: int


def source_line(place: Place) -> SourceLine | None:
    """None where the file is gone or no text, or has no code in that line."""
    if not place.line:
        return None
    text = linecache.getline(str(place.file), place.line).rstrip()
    comment = _COMMENTS.get(place.file.suffix)
    code = (text.split(comment)[0] if comment else text).rstrip()
    return SourceLine(text, len(code) - len(code.lstrip()), len(code)) if code else None
