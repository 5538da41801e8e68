"""The cases: revisions that are hazardous or only look like it, each with a label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
VERSIONS = FOLDER / "migrations" / "versions"
HAZARDS = ("blocks", "fails", "breaks-old", "loses")
_LABEL = re.compile(r"^hazards: (?P<words>[a-z -]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """One revision.

    Args:
        name: its id, and the name of its file.
        before: the revision that is applied and in use before it.
        hazards: its label, out of `HAZARDS`; none where it is safe.
    """

    name: str
    file: Path
    before: str
    hazards: frozenset[str]


def all_cases() -> list[Case]:
    """Every case, by name."""
    return [found for file in sorted(VERSIONS.glob("*.py")) if (found := _read(file)) is not None]


def _read(file: Path) -> Case | None:
    text = file.read_text(encoding="utf-8")
    label = _LABEL.search(text)
    if label is None:
        return None  # the base, or what is applied before a case
    words = frozenset(label["words"].split()) - {"none"}
    if unknown := words - set(HAZARDS):
        raise ValueError(f"{file.name}: {', '.join(sorted(unknown))} is no hazard")
    before = re.search(r'^down_revision = "(\w+)"$', text, re.MULTILINE)
    if before is None:
        raise ValueError(f"{file.name}: no down_revision")
    return Case(file.stem, file, before[1], words)
