"""Show what a backfill would do: its statement, its plan, batches that are rolled back, and what the run will take."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from evolve.app.backfill_work import Pace, checked_target, told, tried
from evolve.app.forecast_backfill import forecast_backfill
from evolve.backfill.forecast import Forecast
from evolve.backfill.ports import Stop, Watch
from evolve.backfill.spec import Spec, has_effects
from evolve.backfill.undo import JournalMode, keeps_journal
from evolve.postgres.backfill_target import Target
from evolve.postgres.session import Session
from evolve.postgres.trying import Trial

ROWS = 1_000


@dataclass(frozen=True, slots=True)
class DryRun:
    """
    Args:
        trial: None where the table is empty.
        journal: whether an undo journal would be kept.
        forecast: None where nothing could be tried, or the table has no statistics.
    """

    spec: Spec
    target: Target
    trial: Trial | None
    journal: bool
    forecast: Forecast | None


def dry_run_backfill(
    url: str,
    spec: Spec,
    *,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    undo_journal_mode: JournalMode = JournalMode.AUTO,
    plain_sql: bool = False,
    newest_first: bool = False,
) -> DryRun:
    """Check everything a run checks, try a batch of a thousand rows for its plan and its errors, and others at three
    places for the forecast.

    No row and no journal is left behind; what rolled-back batches leave are dead row versions.

    Raises:
        EvolveError: the causes of `backfill_work.checked_target`.
    """
    pace.check()
    with (
        # What a COMMIT takes is measured as a batch of the run would commit.
        closing(
            Session(url, f"evolve backfill {spec.name}", pace.timeouts, lasting=has_effects(spec))
        ) as session,
        told(f'backfill "{spec.name}" could not be tried', session),
    ):
        target = checked_target(session, spec, watch, plain_sql=plain_sql, newest_first=newest_first)
        trial = tried(session, spec, target, ROWS)
        journal = keeps_journal(spec, undo_journal_mode)
        forecast = None
        if trial is not None:
            seen = trial.rows / max(trial.milliseconds / 1000, 1e-6)
            forecast = forecast_backfill(
                session, spec, target, pace, stop, watch, journal=journal, rows_per_second=seen
            )
    return DryRun(spec, target, trial, journal, forecast)
