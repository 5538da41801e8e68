"""What an archive of a partition says of itself: its manifest, and how each type is stored in it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast

from evolve.errors import Refused
from evolve.sql.names import QualifiedName

SCHEMA = 1
MANIFEST = "manifest.json"

FileFormat = Literal["parquet", "csv.gz"]
Format = FileFormat | Literal["table"]

_KINDS = {
    "smallint": "int16",
    "integer": "int32",
    "bigint": "int64",
    "boolean": "bool",
    "real": "float32",
    "double precision": "float64",
    "date": "date32",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}
_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")


class BadManifest(Refused):
    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            f"the manifest of the archive {place} cannot be used: {reason}",
            why="without it nobody knows what the rows were, or whether they are all there",
            fix="take the archive from a copy of it, with all its files",
        )


@dataclass(frozen=True, slots=True)
class ArchivedColumn:
    """
    Args:
        type: as SQL, schemas included.
        collation: as SQL, where it is not that of the type.
        generated: its expression and " STORED" or " VIRTUAL"; such a column is computed again, its values are not kept.
        kept_as: its type in a Parquet file, "text" where none of those holds every value exactly.
    """

    name: str
    type: str
    not_null: bool
    collation: str | None = None
    generated: str | None = None
    kept_as: str = "text"

    @property
    def definition(self) -> str:
        """What follows the name in CREATE TABLE."""
        parts = [self.type]
        if self.collation is not None:
            parts.append(f"COLLATE {self.collation}")
        if self.generated is not None:
            parts.append(f"GENERATED ALWAYS AS {self.generated}")
        if self.not_null:
            parts.append("NOT NULL")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    Args:
        bound: as `pg_get_expr` prints it in UTC; None where the partition had been detached and nothing tells it.
        checksum: sum of the hashes of all rows, as the server computes them.
        file: beside the manifest; "" where the archive is a table.
        sha256: of the file.
        content: a hash of what the file holds, computed while it was written and again when it was read back.
        made_at: ISO 8601, UTC.
    """

    table: QualifiedName
    partition: QualifiedName
    bound: str | None
    columns: tuple[ArchivedColumn, ...]
    rows: int
    checksum: str
    format: Format
    file: str
    bytes: int
    sha256: str
    content: str
    server_version: str
    evolve_version: str
    made_at: str

    @property
    def stored(self) -> tuple[ArchivedColumn, ...]:
        """The columns whose values are kept."""
        return tuple(column for column in self.columns if column.generated is None)

    @property
    def file_format(self) -> FileFormat:
        """
        Raises:
            BadManifest: the rows are not in a file.
        """
        if self.format == "table":
            raise BadManifest(self.partition.plain, "it is of a table, not of a file")
        return self.format

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """Names and types of the same."""
        return tuple((column.name, column.type) for column in self.stored)


def parquet_kind(type_: str) -> str:
    """The Parquet type for a column of `type_` (as `format_type` writes it), "text" where there is none."""
    plain = re.sub(r"^(timestamp)\(\d\)", r"\1", type_)
    decimal = _DECIMAL.fullmatch(type_)
    if decimal is not None:
        precision, scale = int(decimal[1]), int(decimal[2])
        return f"decimal({precision},{scale})" if precision <= 38 and scale <= precision else "text"
    return _KINDS.get(plain, "text")


def encode(manifest: Manifest) -> dict[str, object]:
    return {"schema": SCHEMA, **asdict(manifest)}


def to_text(manifest: Manifest) -> str:
    return json.dumps(encode(manifest), indent=2, ensure_ascii=False) + "\n"


def from_text(text: str | bytes, place: str) -> Manifest:
    """
    Raises:
        BadManifest: it is none, or of another version.
    """
    try:
        read: object = json.loads(text)
    except ValueError as error:
        raise BadManifest(place, "it is no JSON") from error
    return decode(read, place)


def decode(read: object, place: str) -> Manifest:
    """
    Raises:
        BadManifest: it is none, or of another version.
    """
    if not isinstance(read, dict):
        raise BadManifest(place, "it is no manifest")
    found = cast("dict[str, object]", read)
    if found.get("schema") != SCHEMA:
        raise BadManifest(place, f"it has schema {found.get('schema')}, and {SCHEMA} is known here")
    values = {name: value for name, value in found.items() if name != "schema"}
    try:
        values["table"] = _name(values["table"])
        values["partition"] = _name(values["partition"])
        values["columns"] = tuple(_column(each) for each in cast("list[object]", values["columns"]))
        manifest = Manifest(**values)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    except (KeyError, TypeError) as error:
        raise BadManifest(place, f"something is missing in it, or not known: {error}") from error
    if (
        manifest.format not in ("parquet", "csv.gz", "table")
        or "/" in manifest.file
        or manifest.file.startswith(".")
    ):
        raise BadManifest(place, f'format "{manifest.format}" and file "{manifest.file}" are not known here')
    return manifest


def _name(value: object) -> QualifiedName:
    parts = cast("Mapping[str, str]", value)
    return QualifiedName(parts["name"], parts["schema"])


def _column(value: object) -> ArchivedColumn:
    return ArchivedColumn(**cast("dict[str, str]", value))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
