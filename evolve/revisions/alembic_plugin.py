"""What evolve adds to Alembic: `op.evolve_gate`, `op.require_backfill`, `op.convert_table`, operations on partitions,
and an autogenerate that minds its changes.

Alembic (1.18 and later) loads this module through the entry point group `alembic.plugins` each time it is
imported, so it imports nothing heavy.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps
    from alembic.runtime.plugins import Plugin
    from alembic.util import PriorityDispatchResult


def setup(plugin: Plugin) -> None:  # noqa: ARG001 - Alembic calls it so
    """Called by Alembic once, at its import."""
    # Whoever imports one of our modules first imports Alembic through it, which comes here while that module is half
    # done: so this one imports nothing of Alembic before it is asked.
    from alembic.runtime.plugins import Plugin
    from alembic.util import DispatchPriority

    importlib.import_module("evolve.revisions.gate_operation")
    importlib.import_module("evolve.revisions.require_operation")
    importlib.import_module("evolve.revisions.convert_operation")
    importlib.import_module("evolve.revisions.partition_operations")
    importlib.import_module("evolve.revisions.partition_builds")
    importlib.import_module("evolve.revisions.model_partitions")
    # Autogenerate takes part only in plugins of this name space unless env.py says otherwise.
    Plugin("alembic.autogenerate.evolve").add_autogenerate_comparator(
        _leave_changes_alone, "autogenerate", "evolve", priority=DispatchPriority.LAST
    )


def _leave_changes_alone(context: AutogenContext, upgrade: UpgradeOps) -> PriorityDispatchResult:
    from alembic.util import PriorityDispatchResult

    from evolve.revisions.autogenerate import leave_changes_alone
    from evolve.revisions.partition_filter import leave_partitions_alone
    from evolve.revisions.partition_scheme import compare_partitions

    leave_changes_alone(context, upgrade)
    leave_partitions_alone(context, upgrade)
    compare_partitions(context, upgrade)
    return PriorityDispatchResult.CONTINUE


def script_directory(context: AutogenContext) -> Path | None:
    """Where the project keeps env.py; None where Alembic was called without a project."""
    migration = context.migration_context
    environment = migration.environment_context if migration is not None else None
    return Path(environment.script.dir) if environment is not None else None
