"""What a manifest says comes back out of it, and only types that hold every value are not kept as text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evolve.app.archive_partition import _name_of
from evolve.partition.archive import (
    ArchivedColumn,
    BadManifest,
    Manifest,
    encode,
    from_text,
    parquet_kind,
    to_text,
)
from evolve.sql.names import QualifiedName

MANIFEST = Manifest(
    table=QualifiedName("orders", "sales"),
    partition=QualifiedName("orders_2024", "sales"),
    bound="FOR VALUES FROM (1) TO (2)",
    columns=(
        ArchivedColumn("id", "bigint", not_null=True, kept_as="int64"),
        ArchivedColumn("twice", "bigint", not_null=False, generated="((id * 2)) STORED"),
    ),
    rows=3,
    checksum="-17",
    format="parquet",
    file="rows.parquet",
    bytes=10,
    sha256="ab",
    content="cd",
    server_version="18.1",
    evolve_version="1",
    made_at="2026-01-01T00:00:00+00:00",
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert from_text(to_text(MANIFEST), "here") == MANIFEST


def test_generated_values_are_not_kept() -> None:
    assert [column.name for column in MANIFEST.stored] == ["id"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"),
        ("[]", "no manifest"),
        ('{"schema": 2}', "schema 2"),
        ('{"schema": 1}', "missing"),
        (json.dumps({**encode(MANIFEST), "extra": 1}), "not known"),
        (json.dumps(encode(replace(MANIFEST, file="../rows"))), "not known"),
    ],
)
def test_what_is_no_manifest_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadManifest, match=says):
        from_text(text, "here")


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("bigint", "int64"),
        ("timestamp(3) with time zone", "timestamptz"),
        ("numeric(10,2)", "decimal(10,2)"),
        ("numeric(39,2)", "text"),
        ("numeric(2,-3)", "text"),
        ("numeric(2,5)", "text"),
        ("numeric", "text"),
        ("bigint[]", "text"),
        ("public.bigint", "text"),
    ],
)
def test_kinds_of_types(type_: str, kind: str) -> None:
    assert parquet_kind(type_) == kind


def test_different_names_are_different_paths() -> None:
    names = ["a", "A", "a.b", "a/b", "..", "%2e%", "ä", "a b"]
    paths = {_name_of(QualifiedName("t"), QualifiedName(name)) for name in names}
    assert len(paths) == len(names)
    assert all(path.count("/") == 1 and "/." not in path for path in paths)
