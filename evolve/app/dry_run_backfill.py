"""Show what a backfill would do: its statement, its plan, and one batch that is rolled back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from evolve.app.backfill_work import checked_target, told, tried
from evolve.backfill.ports import Watch
from evolve.backfill.spec import Spec
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
        seconds: a guess for the whole table from one batch, without waits; None without statistics.
    """

    spec: Spec
    target: Target
    trial: Trial | None
    journal: bool
    seconds: float | None


def dry_run_backfill(
    url: str,
    spec: Spec,
    *,
    watch: Watch,
    undo_journal_mode: JournalMode = JournalMode.AUTO,
    plain_sql: bool = False,
    newest_first: bool = False,
) -> DryRun:
    """Check everything a run checks and try a batch of a thousand rows; nothing is left behind, the journal neither.

    Raises:
        EvolveError: the causes of `backfill_work.checked_target`.
    """
    with (
        closing(Session(url, f"evolve backfill {spec.name}")) as session,
        told(f'backfill "{spec.name}" could not be tried', session),
    ):
        target = checked_target(session, spec, watch, plain_sql=plain_sql, newest_first=newest_first)
        trial = tried(session, spec, target, ROWS)
    seconds = None
    if trial is not None and trial.rows and target.rows_estimate:
        seconds = target.rows_estimate / trial.rows * trial.milliseconds / 1000
    return DryRun(spec, target, trial, keeps_journal(spec, undo_journal_mode), seconds)
