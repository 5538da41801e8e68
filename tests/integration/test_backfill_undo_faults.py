"""What keeps an undo from giving an old value back: rows that cannot take it, and a table that is not as it was."""

from __future__ import annotations

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Outcome, Pace
from evolve.app.forget_backfill import forget_backfill
from evolve.app.preview_undo import preview_undo
from evolve.app.undo_backfill import list_unrestored, undo_backfill
from evolve.backfill.forgetting import StillNeeded
from evolve.backfill.record import TargetChanged
from evolve.backfill.runner import RejectsOverBudget
from evolve.backfill.status import State
from evolve.postgres.connect import connect
from evolve.postgres.drift import TableAltered
from evolve.postgres.journal import named_run

pytestmark = pytest.mark.server

NAME = "numbers.n"


def undo(
    url: str, quiet: Quiet | None = None, *, workers: int = 1, max_rejects: int | None = None
) -> Outcome:
    quiet = quiet or Quiet()
    pace = Pace(largest=70, workers=workers)
    return undo_backfill(url, NAME, pace=pace, stop=quiet, watch=quiet, max_rejects=max_rejects)


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def refused(url: str) -> list[int]:
    return sorted(int(each.key[0]) for each in list_unrestored(url, NAME, None))


OBJECT = (
    "CREATE FUNCTION public.object() RETURNS trigger LANGUAGE plpgsql AS $$"
    " BEGIN IF NEW.n = 0 AND NEW.id % 300 = 0 THEN RAISE 'not this one'; END IF; RETURN NEW; END $$;"
)
REFUSING = {
    "check": (
        "ALTER TABLE numbers ADD CONSTRAINT other CHECK (n <> 0 OR id % 300 <> 0) NOT VALID",
        "ALTER TABLE numbers DROP CONSTRAINT other",
    ),
    "trigger": (
        OBJECT
        + "CREATE TRIGGER object AFTER UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION public.object()",
        "DROP TRIGGER object ON numbers",
    ),
    "trigger that overwrites": (
        "CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF NEW.id % 300 = 0 THEN NEW.n := OLD.n; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER keep BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION public.keep()",
        "ALTER TABLE numbers DISABLE TRIGGER keep",
    ),
    "deferred trigger": (
        OBJECT + "CREATE CONSTRAINT TRIGGER object AFTER UPDATE ON numbers DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION public.object()",
        "DROP TRIGGER object ON numbers",
    ),
    "deferred foreign key": (
        "CREATE TABLE others (n integer, id bigint, PRIMARY KEY (n, id));"
        "INSERT INTO others SELECT v, id FROM numbers, (VALUES (0), (1)) AS v (v) WHERE v = 1 OR id % 300 <> 0;"
        "ALTER TABLE numbers ADD CONSTRAINT other FOREIGN KEY (n, id) REFERENCES others"
        " DEFERRABLE INITIALLY DEFERRED",
        "INSERT INTO others SELECT 0, id FROM numbers WHERE id % 300 = 0",
    ),
}


@pytest.mark.parametrize("kind", sorted(REFUSING))
@pytest.mark.parametrize("workers", [1, 3])
def test_rows_that_cannot_take_their_old_values_are_set_aside_and_tried_again(
    database_url: str, kind: str, workers: int
) -> None:
    refusing, mending = REFUSING[kind]
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "n + 1"), pace=Pace(largest=100, workers=workers))
    execute(database_url, refusing)
    outcome = undo(database_url, workers=workers)
    assert (outcome.state, outcome.rows, outcome.conflicts, outcome.rejects) == (State.UNDONE, 990, 0, 10)
    assert outcome.only_rejects
    assert refused(database_url) == list(range(300, 3001, 300))
    assert by_value(database_url) == {0: 990, 1: 10}
    execute(database_url, mending)
    again = undo(database_url, workers=workers)
    assert (again.state, again.rows, again.rejects, again.good) == (State.UNDONE, 10, 0, True)
    assert refused(database_url) == []
    assert by_value(database_url) == {0: 1000}


def test_of_those_that_are_tried_again_what_changed_since_is_left_alone(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "n + 1"))
    execute(database_url, REFUSING["check"][0])
    undo(database_url)
    execute(database_url, "UPDATE numbers SET n = 7 WHERE id = 300; DELETE FROM numbers WHERE id = 600")
    again = undo(database_url)
    assert (again.rows, again.conflicts, again.rejects) == (0, 2, 8)
    execute(database_url, REFUSING["check"][1])
    assert undo(database_url).rows == 8
    assert by_value(database_url) == {0: 998, 7: 1}


def test_a_value_that_another_row_has_until_it_is_restored_itself(database_url: str) -> None:
    """The undo goes the other way over keys than the values moved, and some rows come too early."""
    numbers(database_url, 8)
    execute(database_url, "UPDATE numbers SET n = id / 3; CREATE UNIQUE INDEX ON numbers (n)")
    fill(database_url, spec("numbers", "n", "n + 1"), pace=Pace(largest=1000), newest_first=True)
    execute(database_url, "UPDATE evolve.backfill_undo_1 SET batch_no = 1000 - batch_no")
    outcome = undo(database_url)
    assert (outcome.state, outcome.rows, outcome.rejects) == (State.UNDONE, 8, 0)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM numbers WHERE n <> id / 3").fetchone() == (0,)


def test_one_more_than_may_be_set_aside_stops_the_undo(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "n + 1"))
    execute(database_url, REFUSING["check"][0])
    with pytest.raises(RejectsOverBudget, match="more than 5 rows that cannot take their old values") as over:
        undo(database_url, max_rejects=5)
    assert f"evolve backfill undo {NAME}" in str(over.value.fix)
    assert len(refused(database_url)) <= 5
    outcome = undo(database_url, max_rejects=10)
    assert (outcome.rejects, by_value(database_url)) == (10, {0: 990, 1: 10})


def test_what_an_undo_set_aside_is_not_forgotten(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "n + 1"))
    execute(database_url, REFUSING["check"][0])
    undo(database_url)
    with pytest.raises(StillNeeded, match="10 rows could not take their old values"):
        forget_backfill(database_url, NAME, force=False, dry_run=False)
    assert preview_undo(database_url, NAME, stop=Quiet()).rows == 10


DRIFTS = [
    ("ALTER TABLE numbers DROP n", 'no column "n"'),
    ("ALTER TABLE numbers ALTER n TYPE bigint", "type"),
    ("ALTER TABLE numbers DROP CONSTRAINT numbers_pkey", "no unique index"),
    ("ALTER TABLE numbers RENAME TO was; CREATE TABLE numbers (LIKE was INCLUDING ALL)", "taken its name"),
    ("DROP TABLE numbers", 'no table "numbers"'),
]


@pytest.mark.parametrize(("text", "reason"), DRIFTS)
def test_a_table_that_is_not_as_it_was_is_refused_before_anything_is_written(
    database_url: str, text: str, reason: str
) -> None:
    numbers(database_url, 300)
    fill(database_url, spec("numbers", "n", "n + 1"))
    execute(database_url, text)
    for look in (undo, lambda url: preview_undo(url, NAME, stop=Quiet())):
        with pytest.raises(TargetChanged, match=reason) as told:
            look(database_url)
        assert "evolve backfill undo" in str(told.value.fix)
    with connect(database_url) as connection:
        assert named_run(connection, NAME).state is State.DONE


@pytest.mark.parametrize(("text", "reason"), DRIFTS)
def test_a_table_that_is_altered_on_the_way_back_stops_it(database_url: str, text: str, reason: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "n + 1"))
    with pytest.raises(TableAltered, match=f"undo of .*{reason}"):
        undo(
            database_url, Quiet(between=lambda batches: execute(database_url, text) if batches == 2 else None)
        )
    with psycopg.connect(database_url) as connection:
        left = connection.execute("SELECT sum(rows - restored)::int FROM evolve.backfill_undo_1").fetchone()
    assert left is not None
    assert 0 < left[0] < 1000


@pytest.mark.parametrize(
    "text",
    [
        "CREATE INDEX ON numbers (hits)",
        "ALTER TABLE numbers ADD fresh text DEFAULT 'x'",
        "ALTER TABLE numbers DROP hits",
        "ALTER TABLE numbers ALTER hits TYPE bigint",
    ],
)
def test_what_is_harmless_on_the_way_back_is_borne(database_url: str, text: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "n + 1"))
    undo(database_url, Quiet(between=lambda batches: execute(database_url, text) if batches == 2 else None))
    assert by_value(database_url) == {0: 1000}
