"""Facts of a live database, for judging without a connection: sizes, write rates and index use, and no data.

`evolve facts export` writes them as the JSON of `docs/reference/facts.schema.json`; here it is made and read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, cast, get_args

from evolve.errors import Misuse
from evolve.sql.names import BadName, NameTooLong, QualifiedName, parse_name
from evolve.values import dataclass

FORMAT = 1  # raised when a field goes away or changes its meaning, not when one is added
MOST_BYTES = 200_000_000

Value = TypeVar("Value")
Kind = Literal["table", "partitioned table", "materialized view"]

_LEAST_SECONDS = 60.0  # counters that are younger say nothing of a rate


class CannotReadFacts(Misuse):
    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(
            f'the facts "{file}" cannot be read: {reason}',
            fix=f"write them anew: evolve facts export -o {file}",
        )


class LaterFacts(Misuse):
    def __init__(self, file: Path, found: int) -> None:
        super().__init__(
            f'the facts "{file}" are of format {found}; this evolve reads format {FORMAT}',
            fix="upgrade alembic-evolve here, or export them with the version that runs here",
        )


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """`scans`: how often it was used since the statistics began, by this server alone."""

    name: QualifiedName
    bytes: int
    scans: int
    valid: bool


@dataclass(frozen=True, slots=True)
class Writes:
    """Rows, since the statistics began; `hot_updates` are those of the `updates` that touched no index."""

    inserts: int
    updates: int
    hot_updates: int
    deletes: int

    @property
    def total(self) -> int:
        return self.inserts + self.updates + self.deletes


@dataclass(frozen=True, slots=True)
class RelationFacts:
    """A table, a partition of one, or a materialized view, without its partitions.

    Args:
        rows: what the last ANALYZE or VACUUM estimated; None where none ever ran.
        writes: None where they are not known: a standby replays writes and does not count them.
        scans: how often it was read, from end to end or through an index.
        references: tables that its foreign keys point to.
    """

    name: QualifiedName
    kind: Kind
    partition_of: QualifiedName | None
    rows: int | None
    dead_rows: int
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    writes: Writes | None
    sequential_scans: int
    index_scans: int
    last_vacuum: datetime | None
    last_analyze: datetime | None
    references: tuple[QualifiedName, ...] = ()
    indexes: tuple[IndexFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Size:
    """Of a table with its partitions.

    Args:
        rows: None where it is not known of any.
        heap_bytes: without indexes, with TOAST.
        writes_per_second: on average since the statistics began; None where that is not known.
    """

    rows: int | None
    heap_bytes: int
    index_bytes: int
    indexes: int
    writes_per_second: float | None

    @property
    def bytes(self) -> int:
        return self.heap_bytes + self.index_bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """A database at one moment.

    Args:
        server_version: major, such as 15.
        standby: read from a standby: rows and bytes are the primary's, scans are the standby's own.
        statistics_since: when the counters began; None where the server does not say.
        schemas: those that were asked for; None is all of them.
        approximate: bytes are those of the last VACUUM or ANALYZE, since a table was locked when they were read.
    """

    taken: datetime
    server_version: int
    standby: bool
    statistics_since: datetime | None
    schemas: tuple[str, ...] | None
    approximate: bool
    relations: Mapping[QualifiedName, RelationFacts]
    _parts: Mapping[QualifiedName, list[QualifiedName]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts: dict[QualifiedName, list[QualifiedName]] = {}
        for relation in self.relations.values():
            if relation.partition_of is not None:
                parts.setdefault(relation.partition_of, []).append(relation.name)
        object.__setattr__(self, "_parts", MappingProxyType(parts))

    def tree(self, name: QualifiedName) -> Iterator[RelationFacts]:
        """The relation and its partitions, all the way down; nothing where it is not known."""
        pending, seen = [name], set[QualifiedName]()
        while pending:
            current = pending.pop()
            found = self.relations.get(current)
            if found is not None and current not in seen:
                seen.add(current)
                yield found
                pending += self._parts.get(current, [])

    def size(self, name: QualifiedName) -> Size | None:
        """Of the relation with its partitions; None where it is not known."""
        tree = list(self.tree(name))
        if not tree:
            return None
        stored = [relation for relation in tree if relation.kind != "partitioned table"]
        counted = [relation.rows for relation in stored if relation.rows is not None]
        return Size(
            rows=sum(counted) if counted or not stored else None,
            heap_bytes=sum(relation.heap_bytes + relation.toast_bytes for relation in stored),
            index_bytes=sum(relation.index_bytes for relation in stored),
            indexes=max((len(relation.indexes) for relation in stored), default=0),
            writes_per_second=self._rate(stored),
        )

    def _rate(self, stored: list[RelationFacts]) -> float | None:
        if self.statistics_since is None:
            return None
        seconds = (self.taken - self.statistics_since).total_seconds()
        counted = [relation.writes.total for relation in stored if relation.writes is not None]
        return sum(counted) / seconds if seconds >= _LEAST_SECONDS and counted else None


def to_json(facts: Facts) -> str:
    """One relation a line, so that a diff of two exports can be read."""
    head: dict[str, object] = {
        "schema": FORMAT,
        "taken": _stamp(facts.taken),
        "server_version": facts.server_version,
        "standby": facts.standby,
        "statistics_since": _stamp(facts.statistics_since),
        "schemas": None if facts.schemas is None else list(facts.schemas),
        "approximate": facts.approximate,
    }
    opening = json.dumps(head, indent=2, ensure_ascii=False).removesuffix("\n}")
    lines = ",\n".join(
        f"    {json.dumps(_relation_data(relation), ensure_ascii=False)}"
        for relation in facts.relations.values()
    )
    return f'{opening},\n  "relations": [\n{lines}\n  ]\n}}\n'


def read(file: Path) -> Facts:
    """
    Raises:
        CannotReadFacts: there is no such file, or it is not what `to_json` writes.
        LaterFacts: a later evolve wrote it.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise CannotReadFacts(
                file, f"it has more than {MOST_BYTES // 1_000_000} MB (--schema exports less than all)"
            )
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotReadFacts(file, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise CannotReadFacts(file, f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise CannotReadFacts(file, "it is not a JSON object")
    found = document.get("schema")
    if isinstance(found, int) and not isinstance(found, bool) and found > FORMAT:
        raise LaterFacts(file, found)
    if found != FORMAT or isinstance(found, bool):
        raise CannotReadFacts(file, '"schema" does not say its format: these are no facts')
    try:
        return _facts(_Reader(document, ""))
    except _Wrong as error:
        raise CannotReadFacts(file, str(error)) from error


def _facts(top: _Reader) -> Facts:
    relations: dict[QualifiedName, RelationFacts] = {}
    for entry in top.objects("relations"):
        relation = _relation(entry)
        if relation.name in relations:
            raise _Wrong(f'{entry.place} is a second "{relation.name.plain}"')
        relations[relation.name] = relation
    return Facts(
        taken=top.moment("taken"),
        server_version=top.whole("server_version"),
        standby=top.truth("standby"),
        statistics_since=top.maybe_moment("statistics_since"),
        schemas=top.maybe_texts("schemas"),
        approximate=top.truth("approximate"),
        relations=MappingProxyType(relations),
    )


def _relation(entry: _Reader) -> RelationFacts:
    kind = entry.text("kind")
    if kind not in get_args(Kind):
        raise _Wrong(f'{entry.place}.kind is "{kind}", not one of {", ".join(get_args(Kind))}')
    writes = entry.maybe_object("writes")
    return RelationFacts(
        name=entry.name("name"),
        kind=cast("Kind", kind),
        partition_of=entry.maybe_name("partition_of"),
        rows=entry.maybe_whole("rows"),
        dead_rows=entry.whole("dead_rows"),
        heap_bytes=entry.whole("heap_bytes"),
        index_bytes=entry.whole("index_bytes"),
        toast_bytes=entry.whole("toast_bytes"),
        writes=None
        if writes is None
        else Writes(
            writes.whole("inserts"),
            writes.whole("updates"),
            writes.whole("hot_updates"),
            writes.whole("deletes"),
        ),
        sequential_scans=entry.whole("sequential_scans"),
        index_scans=entry.whole("index_scans"),
        last_vacuum=entry.maybe_moment("last_vacuum"),
        last_analyze=entry.maybe_moment("last_analyze"),
        references=entry.names("references"),
        indexes=tuple(
            IndexFacts(index.name("name"), index.whole("bytes"), index.whole("scans"), index.truth("valid"))
            for index in entry.objects("indexes")
        ),
    )


def _relation_data(relation: RelationFacts) -> dict[str, object]:
    writes = relation.writes
    return {
        "name": relation.name.full,
        "kind": relation.kind,
        "partition_of": relation.partition_of.full if relation.partition_of else None,
        "rows": relation.rows,
        "dead_rows": relation.dead_rows,
        "heap_bytes": relation.heap_bytes,
        "index_bytes": relation.index_bytes,
        "toast_bytes": relation.toast_bytes,
        "writes": None
        if writes is None
        else {
            "inserts": writes.inserts,
            "updates": writes.updates,
            "hot_updates": writes.hot_updates,
            "deletes": writes.deletes,
        },
        "sequential_scans": relation.sequential_scans,
        "index_scans": relation.index_scans,
        "last_vacuum": _stamp(relation.last_vacuum),
        "last_analyze": _stamp(relation.last_analyze),
        "references": [name.full for name in relation.references],
        "indexes": [
            {"name": index.name.full, "bytes": index.bytes, "scans": index.scans, "valid": index.valid}
            for index in relation.indexes
        ],
    }


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


class _Wrong(Exception):
    """The text says where the file is not what it should be."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """One object of the document, and where it stands for messages."""

    values: Mapping[str, object]
    place: str

    def text(self, key: str) -> str:
        return self._of(key, str, "a text")

    def truth(self, key: str) -> bool:
        return self._of(key, bool, "true or false")

    def whole(self, key: str) -> int:
        value = self._of(key, int, "a whole number")
        if isinstance(value, bool) or value < 0:
            raise self._wrong(key, "a whole number of at least 0")
        return value

    def maybe_whole(self, key: str) -> int | None:
        return None if self._missing(key) else self.whole(key)

    def moment(self, key: str) -> datetime:
        try:
            found = datetime.fromisoformat(self.text(key))
        except ValueError as error:
            raise self._wrong(key, "a moment such as 2026-11-20T03:00:00+00:00") from error
        if found.tzinfo is None:
            raise self._wrong(key, "a moment with its offset from UTC")
        return found

    def maybe_moment(self, key: str) -> datetime | None:
        return None if self._missing(key) else self.moment(key)

    def name(self, key: str) -> QualifiedName:
        return self._name(key, self.text(key))

    def maybe_name(self, key: str) -> QualifiedName | None:
        return None if self._missing(key) else self.name(key)

    def names(self, key: str) -> tuple[QualifiedName, ...]:
        return tuple(self._name(key, text) for text in self._texts(key))

    def maybe_texts(self, key: str) -> tuple[str, ...] | None:
        return None if self._missing(key) else tuple(self._texts(key))

    def maybe_object(self, key: str) -> _Reader | None:
        if self._missing(key):
            return None
        return _Reader(self._of(key, dict, "an object"), self._at(key))

    def objects(self, key: str) -> Iterator[_Reader]:
        for number, value in enumerate(self._of(key, list, "a list")):
            if not isinstance(value, dict):
                raise _Wrong(f"{self._at(key)}[{number}] is not an object")
            yield _Reader(value, f"{self._at(key)}[{number}]")

    def _texts(self, key: str) -> list[str]:
        values = self._of(key, list, "a list of texts")
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(key, "a list of texts")
        return values

    def _name(self, key: str, text: str) -> QualifiedName:
        try:
            return parse_name(text)
        except (BadName, NameTooLong) as error:
            raise self._wrong(key, "a name such as public.orders") from error

    def _missing(self, key: str) -> bool:
        return key in self.values and self.values[key] is None

    def _of(self, key: str, kind: type[Value], expected: str) -> Value:
        value = self.values.get(key)
        if not isinstance(value, kind):
            raise self._wrong(key, expected)
        return value

    def _wrong(self, key: str, expected: str) -> _Wrong:
        if key not in self.values:
            return _Wrong(f"{self._at(key)} is missing; it must be {expected}")
        return _Wrong(f"{self._at(key)} is not {expected}")

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key
