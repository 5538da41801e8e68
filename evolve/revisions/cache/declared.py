"""What revision files declare, by their contents: to parse hundreds of them takes longer than to judge a new one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from evolve.revisions import history
from evolve.revisions.cache.codec import encode_file
from evolve.revisions.cache.store import Store
from evolve.revisions.digest import digest
from evolve.revisions.history import History, RevisionFile
from evolve.revisions.project import Project


def read_history_through(
    project: Project, store: Store, on_first: Callable[[], object] = lambda: None
) -> History:
    """Do as `read_history` does; of the files that are as they were the last time only the bytes are read.

    Args:
        on_first: called before any is read, where nobody has asked about this project yet.
    """
    key = digest("declared", Path(history.__file__).read_bytes(), sys.version, str(project.script_directory))
    value = store.get(key)
    if value is None:
        on_first()
    kept: Mapping[str, list[object]] = json.loads(value) if value is not None else MappingProxyType({})

    def recall(path: Path, contents: bytes) -> RevisionFile | None:
        found = kept.get(contents.hex())
        if found is None:
            return None
        revision, downs, needs, labels, message, metadata = found
        return RevisionFile(
            revision=str(revision),
            down_revisions=_texts(downs),
            path=path,
            depends_on=_texts(needs),
            branch_labels=_texts(labels),
            message=str(message),
            metadata=tuple((str(name), str(text)) for name, text in _pairs(metadata)),
            digest=contents,
        )

    found = history.read_history(project, recall)
    sound = {
        file.digest.hex(): encode_file(file)
        for file in found.revisions.values()
        # The id of a file in the oldest style is its name, which its contents do not tell.
        if file.broken is None and file.revision != file.path.stem
    }
    if value is None or sound.keys() != kept.keys():
        store.put(key, "declared", json.dumps(sound).encode())
        store.flush()
    return found


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(text) for text in value) if isinstance(value, list) else ()


def _pairs(value: object) -> list[list[object]]:
    return value if isinstance(value, list) else []
