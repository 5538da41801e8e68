"""A history in which some files hold another text than on the disk, as they stand in an editor."""

from __future__ import annotations

import io
import tokenize
from dataclasses import replace
from pathlib import Path

from evolve.revisions.digest import digest
from evolve.revisions.history import (
    BrokenFile,
    DuplicateRevision,
    History,
    RevisionFile,
    build_history,
    declared,
)


def as_bytes(text: str) -> bytes:
    """`text` as its file would hold it, in the encoding that it declares."""
    raw = text.encode(errors="replace")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return text.encode(encoding) if encoding not in ("utf-8", "utf-8-sig") else raw
    except (SyntaxError, UnicodeEncodeError):
        return raw


def with_text(history: History, path: Path, raw: bytes) -> tuple[History, RevisionFile | BrokenFile | None]:
    """`history` with this text of one file, and what that declares; None where it is no revision any more.

    Raises:
        DuplicateRevision and the other causes of `build_history`: it does not fit to the other files.
    """
    found = declared(path, raw)
    if isinstance(found, RevisionFile):
        found = replace(found, text=raw, digest=digest(raw))
    before = next((file for file in history.revisions.values() if file.path == path), None)
    broken = tuple(each for each in history.broken if each.path != path)
    if isinstance(found, BrokenFile):
        broken = (*broken, found)
    elif found is not None and found.broken is not None:
        broken = (*broken, found.broken)
    if isinstance(found, RevisionFile) and before is not None and _same_place(found, before):
        files = {key: found if file is before else file for key, file in history.revisions.items()}
        return History(files, broken, history.labels, history.children, history.needs), found
    if isinstance(found, RevisionFile):
        other = history.revisions.get(found.revision)
        if other is not None and other.path != path:
            raise DuplicateRevision(found.revision, other.path, path)
    others = [file for file in history.revisions.values() if file.path != path]
    return build_history([*others, found] if isinstance(found, RevisionFile) else others, broken), found


def _same_place(one: RevisionFile, other: RevisionFile) -> bool:
    def place(file: RevisionFile) -> tuple[object, ...]:
        return file.revision, file.down_revisions, file.depends_on, file.branch_labels

    return place(one) == place(other)
