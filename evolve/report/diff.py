"""What a command would change in files, as a diff that is coloured on a terminal."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

import click

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # as git counts them: a form feed or a carriage return ends none


def diff(name: str, before: str, after: str) -> str:
    """A unified diff, as `patch` and `git apply` read it where its colours are taken away; empty where nothing differs.

    Args:
        name: of the file, as it is to be shown.
        before: its text; empty where it is to be made.
    """
    return "".join(_lines(name, before, after))


def _lines(name: str, before: str, after: str) -> Iterator[str]:
    was = f"a/{name}" if before else "/dev/null"
    for line in difflib.unified_diff(_LINE.findall(before), _LINE.findall(after), was, f"b/{name}"):
        text = line.removesuffix("\n").removesuffix("\r")
        bold = text.startswith(("+++ ", "--- "))
        yield click.style(text, bold=True) if bold else click.style(text, fg=_COLOURS.get(text[:1]))
        yield line[len(text) :]
        if not line.endswith("\n"):
            yield "\n\\ No newline at end of file\n"
