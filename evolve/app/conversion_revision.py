"""Plan a conversion and write the Alembic revision that asks for it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from evolve.app.convert_table import partitioner_for, plan_conversion, sub_partitioner
from evolve.partition.at_once import at_once
from evolve.partition.conversion import Conversion
from evolve.partition.plan import Wish
from evolve.revisions.convert_revision import Asked, write_convert_revision
from evolve.revisions.project import Project


def write_revision(
    url: str, project: Project, wish: Wish, now: datetime, command: str
) -> tuple[Conversion, Path]:
    """Nothing is changed in the database.

    Args:
        command: what begins the conversion where the table has rows.

    Raises:
        As `plan_conversion`; CannotWrite, BrokenTemplate, RevisionBroken: nothing was written.
    """
    conversion = plan_conversion(url, wish, now)
    partitioner = partitioner_for(wish.table, wish.method, wish.options, conversion.inventory.for_plugins())
    asked = Asked(
        wish.table,
        conversion.plan_id,
        partitioner.method,
        partitioner.key,
        command,
        at_once(
            conversion,
            partitioner,
            sub_partitioner(wish.table, wish.sub, conversion.inventory.for_plugins()),
        ),
    )
    return conversion, write_convert_revision(project, asked)
