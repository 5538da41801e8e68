"""What evolve adds to Alembic: `op.evolve_gate`, and an autogenerate that leaves changes in flight alone.

Alembic (1.18 and later) loads this module through the entry point group `alembic.plugins` each time it is
imported, so it imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from alembic.operations import MigrateOperation, Operations
from alembic.runtime.plugins import Plugin

from evolve.plan.gate_sql import Conditions, as_tuple, gate_block


def setup(plugin: Plugin) -> None:
    """Called by Alembic once, at its import."""


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
        no_rows: str | Sequence[str] = (),
        validated: str | Sequence[str] = (),
        valid_indexes: str | Sequence[str] = (),
        enabled_triggers: str | Sequence[str] = (),
    ) -> None:
        """Raise, and so undo the revision, unless every condition holds; with `--sql`, print a DO block.

        Args:
            no_rows: "table WHERE predicate": no such row exists.
            validated: "table.constraint": it is validated.
            valid_indexes: "index": it is valid.
            enabled_triggers: "table.trigger": it is enabled.
        """
        conditions = Conditions(
            as_tuple(no_rows), as_tuple(validated), as_tuple(valid_indexes), as_tuple(enabled_triggers)
        )
        operations.invoke(cls(change, conditions))


@Operations.implementation_for(EvolveGate)
def _run_gate(operations: Operations, operation: EvolveGate) -> None:
    operations.execute(escape_colons(gate_block(operation.change, operation.conditions)))


def escape_colons(sql: str) -> str:
    """`sql` so that `op.execute`, which reads `:name` as a parameter, sends it as it is."""
    return re.sub(r"(?<![:\w\\]):(?=\w+(?!:))", r"\\:", sql)
