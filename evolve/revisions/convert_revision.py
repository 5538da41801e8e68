"""Write the revision that asks for a conversion, and partitions the table itself where it has no rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evolve.revisions.project import Project
from evolve.revisions.writer import python_string, write_plain_revision
from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class Asked:
    """Args: those of `op.convert_table`."""

    table: QualifiedName
    plan: str
    method: str
    key: tuple[str, ...]
    command: str
    empty: Sequence[str]


def write_convert_revision(project: Project, asked: Asked) -> Path:
    """
    Raises:
        CannotWrite, BrokenTemplate, RevisionBroken: nothing was written.
    """
    name = python_string(str(asked.table))
    upgrade = [
        "# No row is moved here. Where the table has any, this stops until the command has done it",
        "# beside the traffic; where it has none, as in a new database, it is partitioned at once.",
        "op.convert_table(",
        f"    {name},",
        f"    plan={python_string(asked.plan)},",
        f"    method={python_string(asked.method)},",
        f"    key=[{', '.join(python_string(column) for column in asked.key)}],",
        f"    command={python_string(asked.command)},",
        "    empty=[",
        *(f"        {python_string(statement)}," for statement in asked.empty),
        "    ],",
        ")",
    ]
    message = f"Partition {asked.table.plain} by {asked.method} of {', '.join(asked.key)}"
    return write_plain_revision(
        project, message.replace('"', ""), "\n".join(upgrade), f"op.unconvert_table({name})"
    )
