"""Recalls readings by the whole history before them: the key of a revision holds the key of the one before it.

So nothing has to be known about what a revision may depend on: its statements, the schema that it asks about, the
transaction that it goes on in, all follow from what stands in its key. Only what is closed is kept, and what is not is
read each time and has its outcome in the keys of those after it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from evolve.revisions.cache.closed import is_closed
from evolve.revisions.cache.codec import (
    CannotKeep,
    decode_recording,
    decode_schema,
    encode_recording,
    encode_schema,
)
from evolve.revisions.cache.store import Store
from evolve.revisions.digest import digest
from evolve.revisions.history import RevisionFile
from evolve.revisions.memory import After, OwnModules
from evolve.sql import operations as op
from evolve.sql.schema import Schema
from evolve.sql.steps import Mark, Recording

_RECORDING, _OPEN, _SCHEMA = "recording", "open", "schema"
_AHEAD = 250  # keys that are looked up at once


class Chain:
    """The keys of `revisions`, in their order, as far as they are known; a `Memory` for those that are left to read.

    Args:
        fingerprint: of all that is not in the revisions.
        revisions: with digests, as `read_history` gives them.
    """

    def __init__(self, store: Store, fingerprint: bytes, revisions: Sequence[RevisionFile]) -> None:
        self.start = After()
        self._store = store
        self._revisions = revisions
        self._fingerprint = fingerprint
        self._keys: list[bytes] = []  # as far as they were needed yet
        self._kinds: dict[bytes, str] = {}
        self._places = {file.revision: place for place, file in enumerate(revisions)}
        self._contents: dict[Path, bytes] = {}

    # -- before anything is read ---------------------------------------------------------------------------
    def known(self) -> int:
        """How many of the first revisions need no reading."""
        for place in range(len(self._revisions)):
            if self._kind(place) != _RECORDING:
                return place
        return len(self._revisions)

    @property
    def empty(self) -> bool:
        """Nothing is kept of any of them. A key that only follows from what is read is new then as well, for the one
        before it would be there.
        """
        if self._revisions:
            self._key(len(self._revisions) - 1)
        return self._kinds.keys().isdisjoint(self._keys)

    def recordings(self, first: int, end: int) -> list[Recording]:
        """The recordings from place `first` on, up to `end` or to one that turns out to be damaged."""
        found: list[Recording] = []
        for place in range(first, end):
            recalled = self._at(place)
            if recalled is None:
                break
            found.append(recalled[0])
        return found

    def go_on_at(self, place: int) -> bool:
        """Let the reading start at `place`; False where it is not known how the one before it left the session."""
        if place == 0:
            return True
        recalled = self._at(place - 1)
        if recalled is not None:
            self.start = recalled[1]
        return recalled is not None

    def schema_before(self, place: int) -> tuple[Schema, int]:
        """The latest schema that is kept of those before `place`, and the place that it is of."""
        keys = [self._schema_key(at) for at in range(place + 1)]
        kinds = self._store.kinds(keys)
        for at in range(place, 0, -1):
            if keys[at] in kinds and (value := self._store.get(keys[at])) is not None:
                return decode_schema(value), at
        return Schema(), 0

    def keep_schema(self, place: int, schema: Schema) -> None:
        """Keep the schema as it is before `place`."""
        key = self._schema_key(place)
        if place and key not in self._store.kinds([key]):
            try:
                self._store.put(key, _SCHEMA, encode_schema(schema))
            except CannotKeep:
                return

    # -- Memory ---------------------------------------------------------------------------------------------
    def recall(self, file: RevisionFile) -> tuple[Recording, After] | None:
        place = self._places[file.revision]
        return self._at(place) if self._kind(place) == _RECORDING else None

    def learn(self, file: RevisionFile, recording: Recording, after: After, own: OwnModules) -> None:
        place = self._places[file.revision]
        key = self._key(place)
        if self._store_closed(key, file, recording, after):
            return
        self._store.put(key, _OPEN, b"")
        modules = [part for path in own() for part in (str(path), self._content(path))]
        # The keys of those after it follow from what came of reading it.
        self._keys[place:] = [digest(key, _outcome(recording, after), *modules)]

    def _store_closed(self, key: bytes, file: RevisionFile, recording: Recording, after: After) -> bool:
        if not after.settled or any(remark.mark is Mark.TIMED_OUT for remark in recording.remarks):
            return False
        try:
            source = file.path.read_bytes()
            if digest(source) != file.digest or not is_closed(source):
                return False  # it changed since the history was read, or depends on something else
            self._store.put(key, _RECORDING, encode_recording(recording, after))
        except (OSError, CannotKeep):
            return False
        return True

    def _key(self, place: int) -> bytes:
        while len(self._keys) <= place:
            start = len(self._keys)
            key = self._keys[-1] if self._keys else self._fingerprint
            for file in self._revisions[start : start + _AHEAD]:
                key = digest(key, file.digest, str(file.path))
                self._keys.append(key)
            self._kinds |= self._store.kinds(self._keys[start:])
        return self._keys[place]

    def _kind(self, place: int) -> str | None:
        return self._kinds.get(self._key(place))

    def _at(self, place: int) -> tuple[Recording, After] | None:
        value = self._store.get(self._key(place))
        if value is None:
            return None
        return decode_recording(value, self._revisions[place])

    def _schema_key(self, place: int) -> bytes:
        return digest("schema", self._key(place - 1) if place else self._fingerprint)

    def _content(self, path: Path) -> bytes:
        if path not in self._contents:
            try:
                self._contents[path] = digest(path.read_bytes())
            except OSError:
                self._contents[path] = b""
        return self._contents[path]


def _outcome(recording: Recording, after: After) -> str:
    """What those after it can see of a revision; of rows that it writes only the table."""
    from evolve.sql.parse import parse

    seen: list[object] = [after.transactions, after.open]
    for statement in recording.statements:
        operations = parse(statement.sql)
        if all(isinstance(operation, op.Insert | op.Update | op.Delete) for operation in operations):
            seen += [(type(o).__name__, str(getattr(o, "table", ""))) for o in operations]
        else:
            seen.append((statement.sql, statement.database))
    return json.dumps(seen)
