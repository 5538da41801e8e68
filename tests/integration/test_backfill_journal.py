"""A journal that an older evolve has made, with a run in the middle."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.resume_backfill import resume_backfill
from evolve.app.show_backfills import show_backfills
from evolve.app.steer_backfill import set_backfill
from evolve.backfill.settings import Settings
from evolve.backfill.status import State
from evolve.postgres.journal import JournalTooOld

pytestmark = pytest.mark.server

VERSION_1 = Path(__file__).parents[1] / "support" / "journal_version_1.sql"


def paused_by_an_older_evolve(url: str) -> None:
    numbers(url, 1000)
    begun = spec("numbers", "n", "n + 1")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA evolve")
        connection.execute(VERSION_1.read_bytes())
        text = (begun.to_json(), begun.fingerprint)
        connection.execute("INSERT INTO evolve.backfill VALUES ('numbers.n', %s, %s, 'me')", text)
        connection.execute(
            "INSERT INTO evolve.backfill_run (name, spec, fingerprint, table_oid, key_columns, key_types, state, want,"
            " journal, fence, started_by) VALUES ('numbers.n', %s, %s, 'numbers'::regclass, '{id}', '{bigint}',"
            " 'paused', 'pause', false, pg_current_xact_id(), 'me')",
            text,
        )
        connection.execute(
            "INSERT INTO evolve.backfill_range (run_id, range_no, low, upto, cursor, batches, scanned, changed)"
            " SELECT run_id, 1, '{3}', '{3000}', '{600}', 2, 200, 200 FROM evolve.backfill_run"
        )
        connection.execute("UPDATE numbers SET n = 1 WHERE id <= 600")


def test_a_journal_without_settings_gets_them_and_its_run_goes_on(database_url: str) -> None:
    numbers(database_url, 300)
    first, quiet = Quiet(), Quiet()
    first.stop_when = lambda: first.batches >= 1
    fill(database_url, spec("numbers", "n", "n + 1"), first)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE evolve.backfill_run DROP pace, DROP settings, DROP brake, DROP brake_until, DROP approval"
        )
        connection.execute("ALTER TABLE evolve.backfill_range DROP doing")
        connection.execute("COMMENT ON TABLE evolve.backfill IS 'evolve backfill journal, version 2'")
    set_backfill(database_url, "numbers.n", Settings(batch=50))
    outcome = resume_backfill(database_url, "numbers.n", pace=Pace(), stop=quiet, watch=quiet)
    assert outcome is not None
    assert outcome.state is State.DONE
    assert by_value(database_url) == {1: 300}


def test_a_journal_without_windows_in_turns_gets_them_and_its_window_is_written_to_its_end(
    database_url: str,
) -> None:
    numbers(database_url, 2000)
    first, quiet = Quiet(), Quiet()
    first.stop_when = lambda: first.batches >= 12
    fill(database_url, spec("numbers", "n", "n + 1"), first, pace=Pace(largest=20))
    with psycopg.connect(database_url, autocommit=True) as connection:
        window, beyond = connection.execute(
            "SELECT window_done, beyond FROM evolve.backfill_range WHERE NOT finished"
        ).fetchall()[0]
        # As an older evolve leaves it: its window alone.
        connection.execute(
            "UPDATE numbers SET n = 0 WHERE id > (SELECT window_upto[1]::bigint FROM evolve.backfill_range)"
        )
        connection.execute("ALTER TABLE evolve.backfill_range DROP beyond")
        connection.execute("COMMENT ON TABLE evolve.backfill IS 'evolve backfill journal, version 3'")
    outcome = resume_backfill(database_url, "numbers.n", pace=Pace(), stop=quiet, watch=quiet)
    assert outcome is not None
    assert window > 0
    assert len(beyond) == 2
    assert by_value(database_url) == {1: 2000}


def test_who_only_looks_says_how_it_is_brought_up_to_date(database_url: str) -> None:
    paused_by_an_older_evolve(database_url)
    with pytest.raises(JournalTooOld, match="has version 1"):
        show_backfills(database_url)


def test_its_run_goes_on_where_it_stood(database_url: str) -> None:
    paused_by_an_older_evolve(database_url)
    quiet = Quiet()
    outcome = resume_backfill(database_url, "numbers.n", pace=Pace(), stop=quiet, watch=quiet)
    assert outcome is not None
    assert (outcome.state, outcome.rows) == (State.DONE, 1000)
    assert by_value(database_url) == {1: 1000}
    assert [view.fraction for view in show_backfills(database_url)] == [1.0]
