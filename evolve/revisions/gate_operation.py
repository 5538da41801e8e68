"""`op.evolve_gate`: an Alembic operation that stops an upgrade unless a change may go on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import text

from evolve.plan.gate_sql import FEW, Conditions, Fill, Lost, as_tuple, gate_block
from evolve.revisions.gate_asking import asked


@Operations.register_operation("evolve_gate")
class EvolveGate(MigrateOperation):
    """Stop the upgrade unless a change may go on."""

    def __init__(self, change: str, conditions: Conditions) -> None:
        self.change = change
        self.conditions = conditions

    @classmethod
    def evolve_gate(
        cls,
        operations: Operations,
        change: str,
        fill: Sequence[Mapping[str, str]] = (),
        no_rows: str | Sequence[str] = (),
        validated: str | Sequence[str] = (),
        valid_indexes: str | Sequence[str] = (),
        enabled_triggers: str | Sequence[str] = (),
        holds: Sequence[Mapping[str, str]] = (),
        lost: Sequence[Mapping[str, str]] = (),
        phase: str = "",
        unmapped: str | Sequence[str] = (),
        unused: str | Sequence[str] = (),
    ) -> None:
        """Raise, and so undo the revision, unless every condition holds; with `--sql`, print a DO block.

        Args:
            operations: Alembic's.
            change: its id.
            fill: {"table", "set", "where"}: at most a thousand such rows are left, and they are brought up to date;
                "backfill" names the one that does it where there are more, if it is not called like the change.
            no_rows: "table WHERE predicate": no such row exists.
            validated: "table.constraint": it is validated.
            valid_indexes: "index": it is valid.
            enabled_triggers: "table.trigger": it is enabled.
            holds: {"condition", "meaning"}: the SQL condition is true.
            lost: {"table", "where", "meaning", "accepted", "fix"}: no more such rows lose something for good than the
                number accepted, or than somebody has accepted in this database.
            phase: the one that the revision belongs to.
            unmapped: "table.column", or "table.*": no deployed version that is alive maps it, or somebody has
                overridden that before this phase in this database.
            unused: the same: `evolve upgrade` looks which statements use it; Alembic alone asks what evolve saw last,
                and whether that holds still. Nobody has met a tripwire there, nor missed it in a brown-out.
        """
        conditions = Conditions(
            tuple(Fill(rows["table"], rows["set"], rows["where"], rows.get("backfill", "")) for rows in fill),
            as_tuple(no_rows),
            as_tuple(validated),
            as_tuple(valid_indexes),
            as_tuple(enabled_triggers),
            tuple((each["condition"], each["meaning"]) for each in holds),
            tuple(
                Lost(rows["table"], rows["where"], rows["meaning"], int(rows["accepted"]), rows["fix"])
                for rows in lost
            ),
            phase,
            as_tuple(unmapped),
            as_tuple(unused),
        )
        operations.invoke(cls(change, conditions))


@Operations.implementation_for(EvolveGate)
def _run_gate(operations: Operations, operation: EvolveGate) -> None:
    conditions = operation.conditions
    for ask in asked():
        conditions = ask(operation.change, conditions, lambda table: _in_use(operations, table))
    if conditions:
        operations.execute(escape_colons(gate_block(operation.change, conditions)))


def _in_use(operations: Operations, table: str) -> bool:
    """In the revision's own transaction, so that the wait for its ACCESS SHARE is as short as all others."""
    sql = f"SELECT count(*) > {FEW} FROM (SELECT FROM {table} LIMIT {FEW + 1}) AS found"  # noqa: S608 - of the revision
    return operations.get_bind().execute(text(escape_colons(sql))).scalar() is True


def escape_colons(sql: str) -> str:
    """`sql` so that `op.execute`, which reads `:name` as a parameter, sends it as it is."""
    # A backslash before a colon escapes it, so one that is meant needs another.
    sql = re.sub(r"(?<=\\)(?=:[\w$]*(?![:\w$]))", r"\\", sql)
    return re.sub(r"(?<![:\w\\]):(?=\w+(?!:))", r"\\:", sql)
