"""Recipe "copy": a partitioned shadow, kept in step by a trigger, filled in small batches, verified, and swapped in."""

from __future__ import annotations

from evolve.partition import cut_over, sync
from evolve.partition.shell import LateIndex, Shell, leaf_index
from evolve.partition.steps import AwaitSnapshots, BuildIndex, Copy, Settle, Statements, Step, Verify
from evolve.plugin_api import DefaultBound, Partition
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.statements import Statement


def forward(shell: Shell, partitions: tuple[Partition, ...]) -> tuple[Step, ...]:
    """Everything up to the swap and the little that follows it."""
    holders = shell.holders(partitions)
    return (
        _create(shell, partitions),
        Statements(
            name="sync",
            title=f"every write to {shell.names.table.plain} reaches {shell.names.shadow.plain} too",
            why="writers wait for milliseconds; asked for with a short lock timeout and asked again",
            statements=sync.forward(shell.names, shell.inventory, shell.primary_key),
            unchanged="all",
        ),
        *copy(shell, source=shell.names.table.full, target=shell.names.shadow.full),
        AwaitSnapshots(
            name="wait",
            title="transactions that began before the copy ended",
            why="they would look at the new table and miss the rows that were copied after they began",
        ),
        *_indexes(shell, holders),
        *foreign_keys(shell, tuple(leaf for leaf, _ in holders)),
        _analyze(shell),
        verify(shell, source=shell.names.table.full, target=shell.names.shadow.full),
        cut_over.swap(shell.names, shell.inventory, shell.shared_names, strays=shell.catches_strays),
        *_afterwards(shell),
        *cut_over.inbound(shell.inventory),
    )


def back(shell: Shell) -> tuple[Step, ...]:
    return (
        cut_over.swap_back(shell.names, shell.inventory, shell.shared_names),
        *cut_over.inbound(shell.inventory),
    )


def abandon(shell: Shell) -> tuple[Step, ...]:
    """Clear away the shadow; the table itself loses two triggers. Also what comes after the swap back."""
    names = shell.names
    return (
        Statements(
            name="sync off",
            title=f"the triggers on {names.table.plain} go",
            why="a change of the catalog only; a short lock timeout, asked again",
            statements=(*sync.drop_triggers(names.table), *sync.drop_functions(names)),
        ),
        *_return_sequences(shell),
        *_drop(shell, names.shadow),
        Statements(
            name="done",
            title=f"{names.table.plain} is as it was",
            why="touches the journal only",
            statements=(),
            state="abandoned",
        ),
    )


def finish(shell: Shell) -> tuple[Step, ...]:
    """Give up the way back: the reverse sync stops, the old table goes."""
    names = shell.names
    return (
        Statements(
            name="sync off",
            title=f"{names.retired.plain} is no longer kept in step",
            why="a change of the catalog only; a short lock timeout, asked again",
            statements=(*sync.drop_triggers(names.table), *sync.drop_functions(names)),
        ),
        *_drop(shell, names.retired),
        Statements(
            name="done",
            title=f"{names.table.plain} is partitioned for good",
            why="touches the journal only",
            statements=(),
            state="finished",
        ),
    )


def copy(shell: Shell, *, source: str, target: str) -> tuple[Step, ...]:
    primary = shell.inventory.primary_key
    key = primary.columns if primary else ()
    return (
        Copy(
            name="copy",
            title=f"rows of {shell.names.table.plain}, in batches",
            why="each batch share-locks its rows for some 50 ms, so that no change slips in between",
            source=source,
            target=target,
            columns=shell.inventory.stored_columns,
            key=key,
            key_types=key_types(shell, key),
            conflict=shell.primary_key,
        ),
        *((_settle(shell),) if shell.catches_strays else ()),
    )


def _settle(shell: Shell) -> Step:
    return Settle(
        name="settle",
        title="rows that fitted no partition when they were written",
        why="their partitions are added to a table that only the sync trigger knows",
        strays=shell.names.strays.full,
        shadow=shell.names.shadow.full,
    )


def verify(shell: Shell, *, source: str, target: str) -> Step:
    primary = shell.inventory.primary_key
    key = primary.columns if primary else ()
    return Verify(
        name="verify",
        title="both tables, range by range: count and sum of row hashes",
        why="reads only, in short snapshots",
        source=source,
        target=target,
        columns=tuple(column.name for column in shell.inventory.columns),
        key=key,
        key_types=key_types(shell, key),
    )


def key_types(shell: Shell, key: tuple[str, ...]) -> tuple[str, ...]:
    columns = (shell.inventory.column(name) for name in key)
    return tuple(column.type for column in columns if column is not None)


def _create(shell: Shell, partitions: tuple[Partition, ...]) -> Step:
    statements = [*shell.create(), *shell.grants()]
    catch = (Partition(shell.names.strays.name, DefaultBound()),) if shell.catches_strays else ()
    for partition in (*partitions, *catch):
        statements += shell.partition(partition)
    for index in shell.late_indexes:
        if index.on_parent:
            statements.append(shell.index_on_parent(index))
            for cut in sorted({above for _, above in shell.holders(partitions) if above is not None}):
                statements.append(_new(shell.index_on_leaf(index, cut, concurrently=False, only=True)))
                statements.append(_attach(shell, index, cut))
        # The catch for strays is empty, and its index must be there before the parent's can be valid.
        for strays in catch:
            statements.append(_new(shell.index_on_leaf(index, strays.name, concurrently=False)))
            if index.on_parent:
                statements.append(_attach(shell, index, strays.name))
    return Statements(
        name="create",
        title=f"{shell.names.shadow.plain} with {len(partitions)} partitions, empty",
        why="reads the definition of the table under ACCESS SHARE, which blocks nothing",
        statements=tuple(statements),
        unchanged="all",
    )


def _indexes(shell: Shell, holders: tuple[tuple[str, str | None], ...]) -> tuple[Step, ...]:
    return tuple(
        BuildIndex(
            name="indexes",
            title=f"{index.name} on {leaf}",
            why="CONCURRENTLY, because the sync trigger writes to the partition meanwhile",
            schema=shell.names.table.schema,
            index=leaf_index(leaf, index.name),
            table=QualifiedName(leaf, shell.names.table.schema).full,
            build=Statement(
                shell.index_on_leaf(index, leaf, concurrently=True),
                LockMode.SHARE_UPDATE_EXCLUSIVE,
                "blocks neither reads nor writes",
                transactional=False,
            ),
            attach=_attach(shell, index, leaf, above) if index.on_parent else None,
        )
        for index in shell.late_indexes
        for leaf, above in holders
    )


def _attach(shell: Shell, index: LateIndex, leaf: str, above: str | None = None) -> Statement:
    """
    Args:
        above: the partition that is cut into `leaf`; None where that is one itself.
    """
    parent = shell.names.in_schema(
        shell.names.fresh(index.name) if above is None else leaf_index(above, index.name)
    )
    child = shell.names.in_schema(leaf_index(leaf, index.name))
    return _new(f"ALTER INDEX {parent} ATTACH PARTITION {child}")


def foreign_keys(shell: Shell, leaves: tuple[str, ...]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for foreign in shell.inventory.foreign_keys:
        for leaf in leaves:
            table = QualifiedName(leaf, shell.names.table.schema).full
            name = quote(foreign.name)
            add = f"ALTER TABLE {table} ADD CONSTRAINT {name} {foreign.definition} NOT VALID"
            validate = f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
            steps.append(
                Statements(
                    name="foreign keys",
                    title=f"{foreign.name} on {leaf}, not valid yet",
                    why=f"writers of {foreign.target} wait for milliseconds",
                    statements=(Statement(add, LockMode.SHARE_ROW_EXCLUSIVE, "NOT VALID reads no row"),),
                )
            )
            steps.append(
                Statements(
                    name="foreign keys",
                    title=f"{foreign.name} on {leaf}, validated",
                    why="reads the partition and blocks neither reads nor writes",
                    statements=(Statement(validate, LockMode.ROW_SHARE, "blocks neither reads nor writes"),),
                )
            )
    return tuple(steps)


def _analyze(shell: Shell) -> Step:
    sql = f"ANALYZE {shell.names.shadow.full}"
    return Statements(
        name="analyze",
        title="statistics of the partitions and of their parent",
        why="reads a sample; without it the first queries after the swap would be planned blindly",
        statements=(Statement(sql, LockMode.SHARE_UPDATE_EXCLUSIVE, "blocks neither reads nor writes"),),
    )


def _afterwards(shell: Shell) -> tuple[Step, ...]:
    table = shell.names.table
    steps: list[Step] = [
        Statements(
            name="parent keys",
            title=f"{foreign.name} on {table.plain} itself, for partitions to come",
            why="takes over what the partitions have proven; reads no row",
            statements=(
                Statement(
                    f"ALTER TABLE {table.full} ADD CONSTRAINT {quote(foreign.name)} {foreign.definition}",
                    LockMode.SHARE_ROW_EXCLUSIVE,
                    "every partition has it and has it validated",
                ),
            ),
        )
        for foreign in shell.inventory.foreign_keys
    ]
    comments = cut_over.comments(table, shell.inventory, shell.shared_names)
    if comments:
        steps.append(
            Statements("comments", "on keys, indexes, triggers", "blocks neither reads nor writes", comments)
        )
    return tuple(steps)


def _drop(shell: Shell, table: QualifiedName) -> tuple[Step, ...]:
    """One foreign key at a time first: dropping a table locks whatever its foreign keys point at."""
    steps: list[Step] = [
        Statements(
            name="drop",
            title=f"{foreign.name} of {table.plain}",
            why=f"{foreign.target} is locked for the blink of a catalog change; asked again if that takes long",
            statements=(
                Statement(
                    f"ALTER TABLE IF EXISTS {table.full} DROP CONSTRAINT IF EXISTS {quote(foreign.name)}",
                    LockMode.ACCESS_EXCLUSIVE,
                    "a change of the catalog only",
                ),
            ),
        )
        for foreign in shell.inventory.foreign_keys
    ]
    steps.append(
        Statements(
            name="drop",
            title=table.plain,
            why="nobody uses it any more",
            statements=(
                Statement(f"DROP TABLE IF EXISTS {table.full}", LockMode.ACCESS_EXCLUSIVE, "nobody uses it"),
            ),
        )
    )
    return tuple(steps)


def _return_sequences(shell: Shell) -> tuple[Step, ...]:
    """A serial's sequence belongs to the table that stays."""
    statements = tuple(
        Statement(
            f"ALTER SEQUENCE {quote(sequence.schema)}.{quote(sequence.name)} "
            f"OWNED BY {shell.names.table.full}.{quote(sequence.column)}",
            LockMode.SHARE_ROW_EXCLUSIVE,
            "a change of the catalog only",
        )
        for sequence in shell.inventory.sequences
        if not sequence.identity
    )
    if not statements:
        return ()
    return (Statements("sequences", "owned by the table again", "a change of the catalog only", statements),)


def _new(sql: str) -> Statement:
    return Statement(sql, None, "nobody knows this table yet")
