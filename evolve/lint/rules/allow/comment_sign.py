"""What a comment begins with: Python's sign in revisions, two dashes in files of plain SQL."""

from __future__ import annotations

from evolve.sql.steps import Place


def comment_sign(place: Place) -> str:
    return "#" if place.file.suffix == ".py" else "--"
