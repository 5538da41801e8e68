"""Defaults of new columns that only Python knows are remarked where the column is added."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.revision_files import Revisions

from evolve.sql.steps import Mark


def remarked(root: Path, upgrade: str) -> list[tuple[int, str]]:
    """Line and particulars of each remark of a default."""
    recording = Revisions(root).capture_one(upgrade)
    return [(r.place.line, r.detail) for r in recording.remarks if r.mark is Mark.CLIENT_DEFAULT]


@pytest.mark.parametrize(
    ("column", "detail"),
    [
        ("sa.Column('c', sa.Text, default='EUR', nullable=False)", "t.c = 'EUR'"),
        ("sa.Column('c', sa.Boolean, default=False)", "t.c = false"),
        ("sa.Column('c', sa.Integer, default=5)", "t.c = 5"),
        ("sa.Column('c', sa.JSON, default=dict)", "t.c"),
        ("sa.Column('Key', sa.DateTime, default=sa.func.now())", 't."Key"'),
    ],
)
def test_default_of_python(tmp_path: Path, column: str, detail: str) -> None:
    assert [told for _, told in remarked(tmp_path, f"op.add_column('t', {column})")] == [detail]


@pytest.mark.parametrize(
    "column",
    [
        "sa.Column('c', sa.Text, nullable=False)",
        "sa.Column('c', sa.Text, server_default='a')",
        "sa.Column('c', sa.Text, default='a', server_default='a')",
    ],
)
def test_default_of_the_database_or_none(tmp_path: Path, column: str) -> None:
    assert remarked(tmp_path, f"op.add_column('t', {column})") == []


def test_batch_tells_it_at_the_line_of_the_column(tmp_path: Path) -> None:
    upgrade = """
    with op.batch_alter_table("t", schema="shop") as batch_op:
        batch_op.add_column(sa.Column("a", sa.Integer))
        batch_op.add_column(sa.Column("c", sa.Integer, default=1))
    """
    [(line, detail)] = remarked(tmp_path, upgrade)

    text = (tmp_path / "migrations" / "versions" / "r0.py").read_text().splitlines()[line - 1]
    assert ('"c"' in text, detail) == (True, "shop.t.c = 1")
