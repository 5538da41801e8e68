"""Backfills by a Python function: guarded, locked, asynchronous, with objects, under writers, and with bad functions."""

from __future__ import annotations

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers
from support.row_writers import documents, hits, writing, wrong

from evolve.app.backfill_work import Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.undo import JournalMode
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server


def by(function: str, **more: object) -> Spec:
    """Rows of `numbers`, their n."""
    work = Transform(f"support.row_functions:{function}", ("n",), ("n",), **more)  # type: ignore[arg-type]
    return Spec("numbers.n", QualifiedName("numbers"), work=work)


@pytest.mark.parametrize("mode", [Mode.GUARDED, Mode.LOCKED])
@pytest.mark.parametrize("undo", ["on", "off"])
@pytest.mark.parametrize("workers", [1, 3])
def test_each_row_is_given_to_the_function_once(
    database_url: str, mode: Mode, undo: str, workers: int
) -> None:
    numbers(database_url, 2000)
    outcome = fill(
        database_url,
        by("one_more", mode=mode),
        pace=Pace(largest=100, workers=workers),
        undo_journal_mode=JournalMode(undo),
    )
    assert (outcome.state, outcome.rows) == (State.DONE, 2000)
    assert by_value(database_url) == {1: 2000}


def labels(
    mode: Mode, *, function: str = "labelled", where: str | None = "label IS NULL", **more: object
) -> Spec:
    """Labels of `documents`."""
    work = Transform(f"support.row_functions:{function}", ("source",), ("label",), mode, **more)  # type: ignore[arg-type]
    return Spec("documents.label", QualifiedName("documents"), where=where, work=work)


@pytest.mark.parametrize("where", ["label IS NULL", None], ids=["missing", "all"])
@pytest.mark.parametrize("mode", list(Mode))
def test_under_eight_writers_every_label_is_that_of_its_source(
    database_url: str, mode: Mode, where: str | None
) -> None:
    documents(database_url, 1500)
    with writing(database_url, 8, 1500) as written:
        outcome = fill(
            database_url, labels(mode, where=where), pace=Pace(largest=100, workers=2), verify=False
        )
    assert written.errors == []
    assert written.acts > 100
    assert outcome.state is State.DONE
    assert wrong(database_url) == []
    assert hits(database_url) == written.hits
