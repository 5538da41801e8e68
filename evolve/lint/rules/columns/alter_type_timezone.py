"""EV119: `timestamp` to `timestamptz`, or back."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.changed_type import ZONES, ChangedType, changed_type
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step
from evolve.sql.types import base


class AlterTypeTimezone(Rule):
    id = "EV119"
    name = "alter-type-timezone"
    severity = Severity.WARNING
    looks_at = (op.AlterColumnType,)
    peers = ("squawk:changing-column-type", "eugene:E5", "strong_migrations:change_column")
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "what the values mean, and whether every row is written anew under a lock that stops all reads and "
        "writes, depends on the TimeZone of whoever runs the revision: in UTC the rows stay as they are, and "
        "10:00 becomes 10:00 UTC"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        changed = changed_type(step, history)
        if changed is None or not changed.in_use or changed.fails or not changed.effect.rewrites:
            return
        if changed.old is None or {base(changed.old), base(changed.new)} != ZONES:
            return
        unless = ", unless the session's TimeZone is UTC" if changed.effect.only_if_not_utc else ""
        yield self.finding(
            step,
            f"changing {changed} rewrites the table under {self.lock}{unless}",
            table=changed.table,
            safe=_safe(changed, history),
        )


def _safe(changed: ChangedType, history: History) -> tuple[str, ...]:
    """Where the rows hold UTC, and nothing else makes PostgreSQL read them."""
    in_utc = effect(changed.operation, history.schema, history.postgres_version, timezone="UTC")
    if in_utc.scans or changed.operation.using is not None:
        return ()
    change = code.change_type(changed.table, changed.column, changed.operation.type)
    return ("\n".join((code.execute("SET LOCAL timezone = 'UTC'"), change)),)
