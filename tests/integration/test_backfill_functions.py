"""Backfills by a Python function: each mode, under writers, with objects, with effects, and with bad functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from support import row_functions
from support.backfill import Quiet, by_value, fill, numbers
from support.row_writers import documents, hits, writing, wrong

from evolve.app.backfill_work import Pace
from evolve.app.resume_backfill import resume_backfill
from evolve.app.retry_rejects import retry_rejects
from evolve.app.show_backfills import show_backfill
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill import delivering
from evolve.backfill.calling import Row
from evolve.backfill.delivering import Notes
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.undo import JournalMode
from evolve.errors import Misuse, Refused
from evolve.postgres.kept import ValueOverwritten
from evolve.postgres.session import Timeouts
from evolve.postgres.trying import Overwritten
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server


def by(function: str, **more: object) -> Spec:
    """Rows of `numbers`, their n."""
    work = Transform(f"support.row_functions:{function}", ("n",), ("n",), **more)  # type: ignore[arg-type]
    return Spec("numbers.n", QualifiedName("numbers"), work=work)


@pytest.mark.parametrize(
    ("mode", "undo", "workers"),
    [(Mode.GUARDED, "on", 3), (Mode.GUARDED, "off", 1), (Mode.LOCKED, "on", 1), (Mode.LOCKED, "off", 3)],
)
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


@pytest.mark.parametrize("undo", ["on", "off"])
@pytest.mark.parametrize("mode", [Mode.GUARDED, Mode.LOCKED])
def test_rows_that_a_trigger_keeps_from_being_written_are_not_passed_over(
    database_url: str, mode: Mode, undo: str
) -> None:
    numbers(database_url, 600)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN IF NEW.id > 900 THEN RETURN NULL; END IF; RETURN NEW; END';"
            "CREATE TRIGGER f BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION f()"
        )
        kept = JournalMode(undo)
        with pytest.raises(ValueOverwritten, match="triggers write it, too: f"):
            fill(database_url, by("one_more", mode=mode), undo_journal_mode=kept)
        assert by_value(database_url)[0] >= 300
        connection.execute("ALTER TABLE numbers DISABLE TRIGGER f")
        assert fill(database_url, by("one_more", mode=mode), undo_journal_mode=kept).good
        assert by_value(database_url) == {1: 600}
        connection.execute("ALTER TABLE numbers ENABLE TRIGGER f; DELETE FROM numbers WHERE id < 900")
    with pytest.raises(Overwritten):
        fill(database_url, by("one_more", mode=mode), restart=True, undo_journal_mode=kept)


def labels(
    mode: Mode, *, function: str = "labelled", where: str | None = "label IS NULL", **more: object
) -> Spec:
    """Labels of `documents`."""
    work = Transform(f"support.row_functions:{function}", ("source",), ("label",), mode, **more)  # type: ignore[arg-type]
    return Spec("documents.label", QualifiedName("documents"), where=where, work=work)


@pytest.mark.parametrize(
    ("mode", "where"),
    [
        (Mode.GUARDED, "label IS NULL"),
        (Mode.GUARDED, None),
        (Mode.LOCKED, None),
        (Mode.OUTBOX, "label IS NULL"),
    ],
)
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


@contextmanager
def meanwhile(url: str, *statements: str) -> Iterator[list[list[int]]]:
    """While the first real batch is computed, others do this; yields the keys of each call."""
    calls: list[list[int]] = []

    def act(rows: list[Row]) -> None:
        calls.append([int(str(row["id"])) for row in rows])
        if len(calls) == 2:  # the first is the probe
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())

    row_functions.before.append(act)
    try:
        yield calls
    finally:
        row_functions.before.clear()


OTHERS = (
    "UPDATE documents SET source = 'changed' WHERE id = 20",
    "UPDATE documents SET hits = 1 WHERE id = 30",
    "DELETE FROM documents WHERE id = 40",
    "UPDATE documents SET id = 55 WHERE id = 50",
    "INSERT INTO documents VALUES (65, 'added')",
)


@pytest.mark.parametrize("undo", ["on", "off"])
def test_what_others_write_while_it_computes_is_computed_again(database_url: str, undo: str) -> None:
    documents(database_url, 100)
    with meanwhile(database_url, *OTHERS) as calls:
        outcome = fill(
            database_url, labels(Mode.GUARDED), undo_journal_mode=JournalMode(undo), plain_sql=True
        )
    assert outcome.good
    assert wrong(database_url) == []
    assert len(calls[1]) == 100
    again = calls[2]
    if undo == "off":  # else the batch is tried again as a whole, under locks
        assert again == [20, 30, 55, 65]


def test_undo_gives_back_what_was_there_before_under_writers(database_url: str) -> None:
    documents(database_url, 100)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE documents SET label = 'was ' || id")
    with meanwhile(database_url, "UPDATE documents SET label = 'theirs' WHERE id = 20"):
        fill(database_url, labels(Mode.GUARDED, where=None), verify=False)
    assert wrong(database_url) == []
    quiet = Quiet()
    undo_backfill(database_url, "documents.label", pace=Pace(), stop=quiet, watch=quiet)
    with psycopg.connect(database_url) as connection:
        found = dict(
            connection.execute("SELECT label = 'was ' || id, count(*) FROM documents GROUP BY 1").fetchall()
        )
        theirs = connection.execute("SELECT label FROM documents WHERE id = 20").fetchone()
    assert found == {True: 99, False: 1}
    assert theirs == ("theirs",)


def test_coroutines_fill_a_column(database_url: str) -> None:
    documents(database_url, 300)
    assert fill(database_url, labels(Mode.GUARDED, function="labelled_together", each=True)).good
    assert wrong(database_url) == []


def test_a_row_at_which_the_function_raises_is_set_aside(database_url: str) -> None:
    documents(database_url, 200)
    fill(database_url, labels(Mode.GUARDED, function="no_sevens", each=True))
    with psycopg.connect(database_url) as connection:
        rejected = connection.execute(
            "SELECT key[1]::int, sqlstate, reason FROM evolve.backfill_reject ORDER BY 1"
        ).fetchall()
    assert [(key, sqlstate) for key, sqlstate, _ in rejected] == [(700, "38000"), (1400, "38000")]
    assert "raised ValueError: no sevens: 700 (" in rejected[0][2]
    assert [row[0] for row in wrong(database_url)] == [700, 1400]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (by("dropping"), "returned 49 rows for 50"),
        (by("nowhere"), "has no attribute 'nowhere'"),
        (by("_failed"), "is no function"),
        (by("one_more", rate=0.0), "rate is 0"),
        (by("one_more", model="support.row_functions:Document"), "live in the transaction of their batch"),
        (by("one_more", model="support.row_functions:Document", mode=Mode.LOCKED), 'maps no column "n"'),
        (by("one_more", model="support.row_functions:Base", mode=Mode.LOCKED), "no mapped class"),
    ],
    ids=["contract", "name", "no function", "rate", "unlocked model", "column of a model", "model"],
)
def test_a_function_that_does_not_work_is_refused_before_the_first_batch(
    database_url: str, spec: Spec, told: str
) -> None:
    numbers(database_url, 200)
    with pytest.raises(Misuse, match=told):
        fill(database_url, spec)
    assert by_value(database_url) == {0: 200}


def test_a_function_slower_than_the_lease_keeps_it(database_url: str) -> None:
    numbers(database_url, 400)
    pace = Pace(largest=200, workers=2, lease_seconds=1.0, commit_seconds=10)
    outcome = fill(database_url, by("slow"), pace=pace)
    assert (outcome.state, outcome.rows) == (State.DONE, 400)
    assert by_value(database_url) == {1: 400}


def test_locked_rows_are_given_back_and_taken_in_smaller_pieces_where_the_function_is_slow(
    database_url: str,
) -> None:
    numbers(database_url, 120)
    pace = Pace(largest=100, commit_seconds=10, timeouts=Timeouts(idle=300))
    quiet = Quiet()
    outcome = fill(database_url, by("slow", mode=Mode.LOCKED), quiet, pace=pace)
    assert (outcome.state, outcome.rows) == (State.DONE, 120)
    assert any("idle-in-transaction" in line for line in quiet.said)
    assert by_value(database_url) == {1: 120}


@pytest.mark.parametrize("undo", ["on", "off"])
def test_objects_of_a_mapped_class(database_url: str, undo: str) -> None:
    documents(database_url, 300)
    spec = labels(Mode.LOCKED, function="titled", model="support.row_functions:Document")
    assert fill(database_url, spec, undo_journal_mode=JournalMode(undo)).good
    assert wrong(database_url) == []


def test_objects_on_which_something_else_is_assigned(database_url: str) -> None:
    documents(database_url, 300)
    spec = labels(Mode.LOCKED, function="counting", model="support.row_functions:Document")
    with pytest.raises(Misuse, match=r'assigns "hits", which is not in writes \(label\)'):
        fill(database_url, spec)


# outbox


def telling(
    url: str, monkeypatch: pytest.MonkeyPatch, function: str, rows: int = 300, **more: object
) -> Spec:
    documents(url, rows)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE told (id bigint, number text)")
    monkeypatch.setenv("TOLD_URL", url)
    work = Transform(f"support.row_functions:{function}", ("source",), (), Mode.OUTBOX, **more)  # type: ignore[arg-type]
    return Spec("tell", QualifiedName("documents"), work=work)


def test_each_effect_happens_after_its_commit(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = telling(database_url, monkeypatch, "told")
    outcome = fill(database_url, spec, pace=Pace(largest=50, workers=2))
    assert (outcome.state, outcome.rows) == (State.DONE, 300)
    with psycopg.connect(database_url) as connection:
        told = connection.execute(
            "SELECT count(*), count(DISTINCT id), count(DISTINCT number) FROM told"
        ).fetchone()
        states = connection.execute(
            "SELECT state, count(*) FROM evolve.backfill_outbox GROUP BY 1"
        ).fetchall()
    assert told == (300, 300, 300)
    assert states == [("delivered", 300)]


def test_an_effect_that_fails_is_tried_again_under_the_same_number(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = telling(database_url, monkeypatch, "told_sometimes", rows=60)
    monkeypatch.setattr(delivering, "FIRST_DELAY", 0.05)
    assert fill(database_url, spec).state is State.DONE
    with psycopg.connect(database_url) as connection:
        told = connection.execute("SELECT count(DISTINCT id), count(DISTINCT number) FROM told").fetchone()
    assert told == (60, 60)


def test_effects_that_never_work_are_set_aside_and_made_up_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = telling(database_url, monkeypatch, "never_told", rows=30)
    monkeypatch.setattr(delivering, "FIRST_DELAY", 0.01)
    assert fill(database_url, spec).rejects == 30
    assert show_backfill(database_url, "tell").notes == Notes(waiting=0, delivered=0, failed=30)
    monkeypatch.setattr(row_functions, "never_told", row_functions.told)
    quiet = Quiet()
    retried = retry_rejects(database_url, "tell", pace=Pace(), stop=quiet, watch=quiet)
    assert (retried.resolved, retried.left) == (30, ())
    assert show_backfill(database_url, "tell").notes == Notes(waiting=0, delivered=30, failed=0)


def test_effects_that_do_not_work_end_a_run_that_may_set_nothing_aside(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = telling(database_url, monkeypatch, "never_told", rows=30)
    monkeypatch.setattr(delivering, "FIRST_DELAY", 0.01)
    with pytest.raises(Refused, match="the other side is away"):
        fill(database_url, spec, max_rejects=0)
    monkeypatch.setattr(row_functions, "never_told", row_functions.told)
    quiet = Quiet()
    resumed = resume_backfill(database_url, "tell", pace=Pace(largest=50), stop=quiet, watch=quiet)
    assert resumed is not None
    assert resumed.state is State.DONE
    assert show_backfill(database_url, "tell").notes == Notes(waiting=0, delivered=30, failed=0)


def test_a_source_that_changes_before_its_effect_has_answered_has_another(database_url: str) -> None:
    documents(database_url, 100)
    statements = (
        "UPDATE documents SET source = 'changed' WHERE id = 20",
        "DELETE FROM documents WHERE id = 40",
    )
    calls: list[list[Row]] = []

    def act(rows: list[Row]) -> None:
        calls.append(rows)
        if len(calls) == 1:  # an effect is not tried beforehand
            with psycopg.connect(database_url, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())

    row_functions.before.append(act)
    try:
        assert fill(database_url, labels(Mode.OUTBOX)).good
    finally:
        row_functions.before.clear()
    assert wrong(database_url) == []
    twice = [row for rows in calls for row in rows if row["id"] == 20]
    assert [row["source"] for row in twice] == ["old 2", "changed"]
    assert len({row["idempotency_key"] for row in twice}) == 2


@pytest.mark.parametrize("mode", list(Mode))
def test_partitions_are_given_leaf_by_leaf(database_url: str, mode: Mode) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE documents (id bigint PRIMARY KEY, source text, label text) PARTITION BY RANGE (id)"
        )
        for low in range(0, 1000, 250):
            connection.execute(
                f"CREATE TABLE d{low} PARTITION OF documents FOR VALUES FROM ({low}) TO ({low + 250})".encode()
            )
        connection.execute("INSERT INTO documents SELECT g, 'old ' || g FROM generate_series(0, 999) g")
    assert fill(database_url, labels(mode, where="documents.label IS NULL")).good
    assert wrong(database_url) == []
