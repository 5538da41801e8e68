"""What a command would change in files, as a diff that is coloured on a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import click

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def diff(name: str, before: str, after: str) -> str:
    """A unified diff, as `patch` and `git apply` read it where its colours are taken away; empty where nothing differs.

    Args:
        name: of the file, as it is to be shown.
        before: its text; empty where it is to be made.
    """
    return "".join(_lines(name, before, after))


def _lines(name: str, before: str, after: str) -> Iterator[str]:
    was = f"a/{name}" if before else "/dev/null"
    found = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), was, f"b/{name}"
    )
    for line in found:
        text = line.removesuffix("\n").removesuffix("\r")
        bold = text.startswith(("+++ ", "--- "))
        yield click.style(text, bold=True) if bold else click.style(text, fg=_COLOURS.get(text[:1]))
        yield line[len(text) :]
        if not line.endswith("\n"):
            yield "\n\\ No newline at end of file\n"
