"""What is done for a table once its backfill is done: new statistics, and a look at what vacuum has to do."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from evolve.app.backfill_work import Outcome, told
from evolve.backfill.aftermath import Tidiness, aftermath
from evolve.backfill.ports import Stop
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.works import InsertSelect
from evolve.errors import Refused
from evolve.postgres.session import Session, Timeouts
from evolve.postgres.tidying import analyze, tidiness
from evolve.sql.names import QualifiedName

LONGEST = Timeouts(lock=500, statement=120_000)  # a lock that autovacuum holds is not waited for


def written_table(spec: Spec) -> QualifiedName:
    return spec.work.into if isinstance(spec.work, InsertSelect) else spec.table


def tidy_before(session: Session, spec: Spec) -> list[Tidiness]:
    """For `look_after`, before the run goes on."""
    return tidiness(session.current(), written_table(spec))


def look_after(
    url: str, spec: Spec, outcome: Outcome, before: list[Tidiness], stop: Stop, *, analyzes: bool
) -> Outcome:
    """The outcome with what is left to do for the table; nothing is done where the run is not done, or wrote nothing.

    On a connection of its own. Whatever fails here is told as a hint: the run is done all the same.

    Args:
        analyzes: take new statistics.
    """
    if outcome.state is not State.DONE or outcome.already or not outcome.rows or stop.requested() is not None:
        return outcome
    table = written_table(spec)
    reason = None
    try:
        with (
            closing(Session(url, f"evolve backfill {spec.name}", LONGEST)) as session,
            told("not looked after", session),
        ):
            if analyzes:
                try:
                    with told(f'ANALYZE "{table.plain}"', session), session.transaction() as connection:
                        reason = analyze(connection, table)
                except Refused as refused:
                    reason = refused.what
            after = tidiness(session.current(), table)
    except Refused:
        return outcome
    found = aftermath(table, before, after, analyzed=analyzes and reason is None, not_analyzed=reason)
    return replace(outcome, aftermath=found)
