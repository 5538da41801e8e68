"""A table without rows becomes partitioned in one transaction: what a revision does where the engine has no work."""

from __future__ import annotations

from dataclasses import replace

from evolve.partition import attach, cut_over
from evolve.partition.conversion import Conversion
from evolve.partition.inventory import Inventory
from evolve.partition.obstacles import UniqueAnswer
from evolve.partition.required_sql import OWNER
from evolve.partition.shell import Shell
from evolve.plugin_api import OpaqueBound, Partition, Partitioner


def at_once(
    conversion: Conversion, partitioner: Partitioner, sub: Partitioner | None = None
) -> tuple[str, ...]:
    """Statements for one transaction; the last one drops the old table.

    Who owns the table and who may use it, tablespaces and publications belong to a database, not to a schema: they are
    left out, and whoever runs this brings over those he finds.
    """
    unique: dict[str, UniqueAnswer] = {answer.name: answer.becomes for answer in conversion.unique}
    inventory, names = _anywhere(conversion.inventory), conversion.names
    shell = Shell(names, inventory, partitioner, unique, sub)
    partitions = tuple(Partition(each.name, OpaqueBound(each.bound)) for each in conversion.partitions)
    statements = (
        *attach.create(shell, partitions).statements,
        *cut_over.drop_inbound(inventory),
        *cut_over.exchange(names, inventory, shell.shared_names),
        *cut_over.add_inbound(inventory),
        *cut_over.comments(names.table, inventory, shell.shared_names),
        *(statement for step in cut_over.inbound(inventory) for statement in step.statements),
    )
    return (*(statement.sql for statement in statements), f"DROP TABLE {names.retired.full}")


def _anywhere(inventory: Inventory) -> Inventory:
    return replace(
        inventory,
        owner=OWNER,
        grants=(),
        default_grantees=(),
        default_sequence_grantees=(),
        publications=(),
        tablespace=None,
        keys=tuple(replace(key, tablespace=None) for key in inventory.keys),
        indexes=tuple(replace(index, tablespace=None) for index in inventory.indexes),
        sequences=tuple(replace(sequence, grants=()) for sequence in inventory.sequences),
    )
