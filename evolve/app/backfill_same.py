"""Whether the table of a run is still the one that the run began with."""

from __future__ import annotations

from evolve.backfill.record import RunRecord, TargetChanged
from evolve.postgres import undo_journal
from evolve.postgres.backfill_target import Target
from evolve.postgres.connect import Connection


def refuse_another(
    connection: Connection, record: RunRecord, target: Target, *, undoing: bool = False
) -> None:
    """Refuse to go on with another table, or with one of another key or other types.

    Raises:
        TargetChanged
    """
    reason = _difference(connection, record, target, undoing=undoing)
    if reason is not None:
        raise TargetChanged(record, reason, undoing=undoing)


def _difference(connection: Connection, record: RunRecord, target: Target, *, undoing: bool) -> str | None:
    if target.oid != record.table_oid:
        return "another table has taken its name"
    if target.key != record.key:
        was, now = (", ".join(f"{c.name} {c.type}" for c in key) for key in (record.key, target.key))
        return f"it was walked by ({was}), its key is now ({now})"
    if record.key_collations not in (None, target.collations):
        return "its key has another collation now, and so another order"
    if record.journal:
        kept = undo_journal.kept_otherwise(connection, record.run_id, target)
        if kept is not None:
            return f'column "{kept}" had another type when its old values were kept'
    if undoing and record.column_numbers is not None:
        for column, number in zip(target.columns, record.column_numbers, strict=True):
            if column.number != number:
                return (
                    f'column "{column.name}" was dropped and made again; old values of the one that is gone are in'
                    f" evolve.backfill_undo_{record.run_id} until: evolve backfill forget {record.name}"
                )
    return None
