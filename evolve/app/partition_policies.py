"""Where it is said how tables are partitioned: in the settings, or in the models; never in both unalike."""

from __future__ import annotations

from collections.abc import Mapping

from evolve.config import PartitionedTable
from evolve.errors import Refused
from evolve.revisions.declared_partitions import declared_partitions
from evolve.revisions.project import Project
from evolve.sql.names import QualifiedName, parse_name


class SaidTwice(Refused):
    def __init__(self, table: QualifiedName, names: tuple[str, ...]) -> None:
        super().__init__(
            f'settings and model of "{table.plain}" differ in {", ".join(names)}',
            why="upkeep would follow the one and somebody rely on the other",
            fix=f'take [tool.evolve.partition."{table.plain}"] out of the settings, or "partition" out of the '
            'model\'s info["evolve"]',
        )


def policies_with_models(
    project: Project, tables: Mapping[str, PartitionedTable]
) -> Mapping[str, PartitionedTable]:
    """Those of the settings and those of the models.

    Raises:
        SaidTwice: a table stands in both, and not alike.
        BadPolicy, RevisionBroken: the models cannot be read.
    """
    found = dict(tables)
    named = {parse_name(name): table for name, table in tables.items()}
    for table, (method, options) in declared_partitions(project).items():
        declared, there = PartitionedTable(method, options), named.get(table)
        if there is None:
            found[str(table)] = declared
            continue
        differing = tuple(
            name
            for name in sorted({*there.options, *declared.options})
            if there.options.get(name) != declared.options.get(name)
        )
        if there.method != declared.method:
            differing = ("method", *differing)
        if differing:
            raise SaidTwice(table, differing)
    return found
