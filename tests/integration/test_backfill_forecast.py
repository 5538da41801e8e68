"""A dry run foretells what the run will take, whatever kind of work it is, and a run that is done is looked after."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from psycopg import conninfo
from support import row_functions
from support.backfill import Quiet, by_value, fill, numbers, spec
from support.standby import streaming

from evolve.app.backfill_work import Pace
from evolve.app.dry_run_backfill import DryRun, dry_run_backfill
from evolve.app.show_backfills import show_backfill
from evolve.backfill.forecast import Forecast
from evolve.backfill.histogram import walked
from evolve.backfill.keyset import KeyColumn
from evolve.backfill.progress import Snapshot
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.works import Delete, InsertSelect, JoinedUpdate
from evolve.postgres import journal
from evolve.postgres.connect import connect
from evolve.postgres.key_histogram import key_histogram
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

TABLE = QualifiedName("numbers")


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def dry(url: str, wanted: Spec, quiet: Quiet | None = None, **more: object) -> DryRun:
    quiet = quiet or Quiet()
    return dry_run_backfill(url, wanted, pace=Pace(), stop=quiet, watch=quiet, **more)  # type: ignore[arg-type]


def foretold(url: str, wanted: Spec, **more: object) -> Forecast:
    quiet = Quiet()
    found = dry(url, wanted, quiet, **more).forecast
    assert found is not None, quiet.said
    return found


@pytest.mark.parametrize(
    "wanted",
    [
        spec("numbers", "n", "n + 1"),
        replace(
            spec("numbers", "n", "o.n + 1"),
            work=JoinedUpdate(QualifiedName("others"), "o", "o.id = numbers.id", True),
        ),
        Spec("copy", TABLE, (("id", "id"), ("n", "n")), work=InsertSelect(QualifiedName("copies"))),
        Spec("drop", TABLE, where="hits = 0", work=Delete()),
        Spec("numbers.n", TABLE, work=Transform("support.row_functions:one_more", ("n",), ("n",))),
        Spec(
            "numbers.n", TABLE, work=Transform("support.row_functions:one_more", ("n",), ("n",), Mode.LOCKED)
        ),
        spec("numbers", "n", "1", where="n = 0", key=("ctid",)),
    ],
    ids=["update", "join", "copy", "delete", "guarded", "locked", "blocks"],
)
def test_each_kind_of_work_is_tried_at_three_places_and_leaves_no_row_changed(
    database_url: str, wanted: Spec
) -> None:
    numbers(database_url, 6000)
    execute(
        database_url,
        "CREATE TABLE others (id bigint PRIMARY KEY, n integer NOT NULL)",
        "CREATE TABLE copies (id bigint PRIMARY KEY, n integer NOT NULL)",
        "INSERT INTO others SELECT id, n FROM numbers",
        "ANALYZE others",
    )
    found = foretold(database_url, wanted)
    assert len(found.places) == 3
    assert found.changed == 6000
    assert found.wal.likely > 6000 * 20
    assert by_value(database_url) == {0: 6000}
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM copies").fetchone() == (0,)
        assert connection.execute("SELECT to_regnamespace('evolve')").fetchone() == (None,)


def test_nobody_outside_is_called(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers(database_url, 300)
    calls: list[object] = []
    monkeypatch.setattr(row_functions, "told", calls.append)
    quiet = Quiet()
    work = Transform("support.row_functions:told", ("n",), (), Mode.OUTBOX)
    tried = dry(database_url, Spec("tell", TABLE, work=work), quiet)
    assert tried.forecast is None
    assert calls == []
    assert any("acts outside of the database" in line for line in quiet.said)


def test_a_table_without_statistics_is_not_guessed_at(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE numbers (id bigint PRIMARY KEY, n integer NOT NULL)",
        "INSERT INTO numbers SELECT g, 0 FROM generate_series(1, 100) g",
    )
    quiet = Quiet()
    assert dry(database_url, spec("numbers", "n", "1"), quiet).forecast is None
    assert any("ANALYZE numbers" in line for line in quiet.said)


def test_what_makes_it_dearer_is_named(database_url: str) -> None:
    numbers(database_url, 1000)
    execute(
        database_url,
        "CREATE INDEX ON numbers (n)",
        "CREATE PUBLICATION everything FOR TABLE numbers",
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER each_row AFTER UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION nothing()",
        "CREATE TRIGGER each_batch AFTER UPDATE ON numbers FOR EACH STATEMENT EXECUTE FUNCTION nothing()",
        "CREATE TRIGGER unconcerned AFTER UPDATE OF note ON numbers FOR EACH ROW EXECUTE FUNCTION nothing()",
        "ALTER TABLE numbers ENABLE ROW LEVEL SECURITY",
    )
    found = foretold(database_url, spec("numbers", "n", "n + 1"), plain_sql=True)
    assert {caution.kind for caution in found.cautions} == {
        *("indexed-column", "publication", "row-trigger", "statement-trigger", "row-security", "fillfactor")
    }
    assert not any("unconcerned" in caution.text for caution in found.cautions)


def test_leaves_are_tried_each_for_itself(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE numbers (id bigint PRIMARY KEY, n integer NOT NULL) PARTITION BY HASH (id)",
        *(
            f"CREATE TABLE numbers_{part} PARTITION OF numbers FOR VALUES WITH (MODULUS 4, REMAINDER {part})"
            for part in range(4)
        ),
        "INSERT INTO numbers SELECT g, 0 FROM generate_series(1, 4000) g",
        "ANALYZE numbers",
    )
    found = foretold(database_url, spec("numbers", "n", "n + 1"))
    assert len({name for name, _ in found.places}) == 3
    assert {caution.kind for caution in found.cautions} == {"partitions"}
    assert by_value(database_url) == {0: 4000}


def test_a_place_that_fails_is_named_and_the_others_count(database_url: str) -> None:
    numbers(database_url, 6000)
    # The tenth row of the last third.
    found = foretold(database_url, spec("numbers", "n", "1 / (id - 12030)::integer", mismatch="n = 7"))
    assert found.failed == (("end", "division by zero"),)
    assert [name for name, _ in found.places] == ["beginning", "middle"]


def test_a_standby_is_watched(database_url: str) -> None:
    del database_url  # a pair of its own
    with streaming({}) as pair:
        numbers(pair.primary, 5000)
        found = foretold(pair.primary, spec("numbers", "n", "n + 1"))
    assert found.standbys == 1
    assert found.catch_up is not None


# while it runs


def test_the_share_follows_the_histogram_of_the_key(database_url: str) -> None:
    numbers(database_url, 1000)
    # Half of the rows lie far away from the others: a third of the way along the keys says nothing.
    execute(database_url, "UPDATE numbers SET id = id + 10000000 WHERE id > 1500", "ANALYZE numbers")
    wanted = spec("numbers", "n", "n + 1")
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches >= 8
    fill(database_url, wanted, quiet)
    with connect(database_url, autocommit=True) as connection:
        bounds = key_histogram(connection, wanted.table, KeyColumn("id", "bigint"))
        record = journal.named_run(connection, "numbers.n")
    assert 0 < record.scanned < 1000
    assert walked(record, bounds) == pytest.approx(record.scanned / 1000, abs=0.03)


def test_status_counts_what_windows_have_written_in_front_of_the_cursor(database_url: str) -> None:
    numbers(database_url, 2000)
    execute(database_url, "ANALYZE numbers")
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches >= 12
    fill(database_url, spec("numbers", "n", "n + 1"), quiet, pace=Pace(largest=20))
    with psycopg.connect(database_url) as connection:
        behind = connection.execute(
            "SELECT count(*) FROM numbers, evolve.backfill_range WHERE id <= coalesce(cursor[1]::bigint, 0)"
        ).fetchone()
    view = show_backfill(database_url, "numbers.n")
    assert view.record.ahead > 0
    assert behind == (view.record.scanned - view.record.ahead,)
    assert view.fraction == pytest.approx(view.record.scanned / 2000, abs=0.02)


def test_what_is_shown_never_goes_backwards(database_url: str) -> None:
    numbers(database_url, 3000)
    quiet = Quiet()
    fill(database_url, spec("numbers", "n", "n + 1"), quiet, pace=Pace(largest=50, rows_per_second=3000))
    shown = [look for look in quiet.snapshots if look.state != "verifying"]
    fractions = [look.fraction for look in shown if look.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert any(look.duty is not None and look.duty < 1 for look in shown)
    assert all(_ordered(look) for look in shown)


def _ordered(look: Snapshot) -> bool:
    if look.seconds_left is None or look.seconds_least is None or look.seconds_most is None:
        return True
    return look.seconds_least <= look.seconds_left <= look.seconds_most


# when it is done


def statistics(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stats WHERE tablename = 'numbers' AND attname = 'n'"
            " AND most_common_vals::text = '{1}'"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("analyze", [True, False])
def test_new_statistics_are_taken_unless_it_is_told_not_to(database_url: str, analyze: bool) -> None:
    numbers(database_url, 1000)
    execute(database_url, "ALTER TABLE numbers SET (autovacuum_enabled = false)")
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), analyze=analyze)
    assert outcome.aftermath is not None
    assert outcome.aftermath.analyzed == analyze
    assert statistics(database_url) == int(analyze)


def test_a_lock_that_is_held_is_not_waited_for(database_url: str) -> None:
    numbers(database_url, 1000)
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE numbers IN SHARE UPDATE EXCLUSIVE MODE")
        outcome = fill(database_url, spec("numbers", "n", "n + 1"))
    assert outcome.good
    assert outcome.aftermath is not None
    assert outcome.aftermath.not_analyzed is not None
    assert outcome.aftermath.hints[0].command == "ANALYZE numbers"


def test_a_run_that_found_nothing_to_write_leaves_the_statistics_alone(database_url: str) -> None:
    numbers(database_url, 100)
    assert fill(database_url, spec("numbers", "n", "1", where="n = 7")).aftermath is None


def test_a_role_that_may_not_analyze_is_given_the_command(database_url: str) -> None:
    numbers(database_url, 300)
    name = "filler_" + str(conninfo.conninfo_to_dict(database_url)["dbname"])[-8:]
    url = conninfo.make_conninfo(database_url, user=name, password="filler")  # noqa: S106
    execute(
        database_url,
        f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'filler'",
        f'GRANT SELECT, UPDATE ON numbers TO "{name}"',
        f'CREATE SCHEMA evolve; GRANT ALL ON SCHEMA evolve TO "{name}"',
    )
    try:
        outcome = fill(url, spec("numbers", "n", "n + 1"))
    finally:
        execute(database_url, f'DROP OWNED BY "{name}"', f'DROP ROLE "{name}"')
    assert outcome.good
    assert outcome.aftermath is not None
    assert not outcome.aftermath.analyzed
    assert [hint.command for hint in outcome.aftermath.hints] == ["ANALYZE numbers"]
