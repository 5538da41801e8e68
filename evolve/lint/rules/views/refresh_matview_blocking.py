"""EV155: `REFRESH MATERIALIZED VIEW` without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class RefreshMatviewBlocking(Rule):
    id = "EV155"
    name = "refresh-matview-blocking"
    severity = Severity.WARNING
    looks_at = (op.RefreshMaterializedView,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    why = (
        "nobody can read it while its query runs and the result is written; CONCURRENTLY lets readers go on, and needs "
        "a unique index over columns, without WHERE"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.RefreshMaterializedView(view=view, with_data=False) if history.in_use(view):
                yield self.finding(
                    step,
                    f'"{view.plain}" is emptied',
                    table=view if view in history.schema.views else None,
                    scan=view in effect(step.operation, history.schema).scans,
                    breaks_old_code=True,
                    why="every query over it fails until it is refreshed with data",
                )
            case op.RefreshMaterializedView(view=view, concurrently=False) if history.in_use(view):
                known = history.schema.views.get(view)
                if known is not None and not known.populated:
                    return  # until now nobody could read it, and PostgreSQL refuses CONCURRENTLY
                concurrently = code.execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view}")
                yield self.finding(
                    step,
                    f'nobody can read "{view.plain}" while it is computed anew',
                    table=view if view in history.schema.views else None,
                    scan=view in effect(step.operation, history.schema).scans,
                    safe=(concurrently,) if _has_whole_key(view, history) else (),
                )
            case _:
                return


def _has_whole_key(view: QualifiedName, history: History) -> bool:
    """True where CONCURRENTLY can tell its rows apart."""
    return any(
        index.definition.unique and index.definition.where is None and all(index.definition.columns)
        for index in history.schema.indexes_of(view)
    )
