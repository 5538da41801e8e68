"""How a table joins a partitioned table while both are in use: Alembic code, step by step."""

from __future__ import annotations

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.sql.bound_proof import excludes_bound, excluding_check, implies_bound, implying_check
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.operations import IndexDefinition, PartitionBy
from evolve.sql.replay.constraints import same_key
from evolve.sql.replay.indexes import serves
from evolve.sql.schema import Index, Table


def default_in_the_way(history: History, parent: Table, bound: str) -> Table | None:
    """The DEFAULT partition, where it is in use and its rows are read when a partition with `bound` joins."""
    default = history.schema.default_partition(parent.name)
    if default is None or bound == "DEFAULT" or not history.in_use(default.name):
        return None
    return None if excludes_bound(default, parent, bound) else default


def is_proven(partition: Table, parent: Table, bound: str) -> bool:
    """True where ATTACH need not read `partition` for its bound; a CHECK for a hash bound is taken at its word."""
    hashed = parent.partition_by is not None and parent.partition_by.method == "hash"
    if hashed and any("satisfies_hash_partition" in str(c) for c in partition.constraints):
        return True
    return implies_bound(partition, parent, bound)


def missing_indexes(history: History, partition: QualifiedName, parent: QualifiedName) -> list[Index]:
    """Those of the parent that `partition` has no twin of, so that ATTACH builds them."""
    own = list(history.schema.indexes_of(partition))
    return [
        index
        for index in history.schema.indexes_of(parent)
        if not any(mine.partition_of is None and serves(mine, index) for mine in own)
    ]


def create(
    history: History, name: QualifiedName, parent: Table, bound: str, by: PartitionBy | None
) -> tuple[str, ...]:
    """A partition that is made as a table of its own and then attached; nothing where no way is known."""
    keys = f" PARTITION BY {by.method.upper()} ({', '.join(by.keys)})" if by is not None else ""
    # A partitioned table has its indexes from the parent alone.
    takes = "INCLUDING ALL EXCLUDING IDENTITY" + (" EXCLUDING INDEXES" if by is not None else "")
    make = code.execute(f"CREATE TABLE {name} (LIKE {parent.name} {takes}){keys}")
    join = attach(history, None, name, parent, bound)
    return (*join[:-1], f"{make}\n{join[-1]}") if join else ()


def attach(
    history: History, partition: Table | None, name: QualifiedName, parent: Table, bound: str
) -> tuple[str, ...]:
    """Proofs first, then ATTACH, which finds nothing to read. Nothing where some proof is not known.

    Args:
        partition: None for a table that is still to be made and empty.
    """
    key = parent.partition_by.keys[0] if parent.partition_by is not None else ""
    checks: list[tuple[QualifiedName, str, str | None]] = []
    builds: list[str] = []
    if partition is not None and history.in_use(name):
        if not is_proven(partition, parent, bound):
            checks.append((name, shorten(name.name, "bound"), implying_check(key, bound)))
        if _keys_missing(partition, parent):
            return ()
        for index in missing_indexes(history, name, parent.name):
            if index.constraint is not None:
                return ()
            twin = shorten(name.name, index.name.name)
            builds.append(code.create_index_concurrently(_moved(index, name), twin))
    default = default_in_the_way(history, parent, bound)
    if default is not None:
        checks.append(
            (default.name, shorten(default.name.name, "not", name.name), excluding_check(key, bound))
        )
    conditions = [(table, check, condition) for table, check, condition in checks if condition is not None]
    if len(conditions) < len(checks) or _several_keys(parent):
        return ()
    adds = [code.add_check(table, check, condition) for table, check, condition in conditions]
    validates = [code.validate(table, check) for table, check, _ in conditions]
    drops = [code.drop_constraint(table, check) for table, check, _ in conditions]
    join = [code.execute(f"ALTER TABLE {parent.name} ATTACH PARTITION {name} {bound}"), *drops]
    # A transaction for each: the lock that adding a CHECK takes is not kept, and two tables are not locked at once.
    return (*adds, *validates, *builds, "\n".join(join))


def _several_keys(parent: Table) -> bool:
    by = parent.partition_by
    return by is None or (len(by.keys) != 1 and by.method != "hash")


def _keys_missing(partition: Table, parent: Table) -> bool:
    return any(not any(same_key(mine, key) for mine in partition.foreign_keys) for key in parent.foreign_keys)


def _moved(index: Index, table: QualifiedName) -> IndexDefinition:
    return code.moved_to(index.definition, table)
