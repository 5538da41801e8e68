"""Recipe "attach": the table itself becomes the first partition, behind a CHECK that was validated; no row moves."""

from __future__ import annotations

from evolve.partition import cut_over
from evolve.partition.inventory import Index, Key
from evolve.partition.shell import LateIndex, Shell, leaf_index
from evolve.partition.steps import BuildIndex, Statements, Step
from evolve.plugin_api import Partition, bound_sql, check_sql
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement

_EXCLUSIVE = LockMode.ACCESS_EXCLUSIVE


def forward(shell: Shell, first: Partition, rest: tuple[Partition, ...]) -> tuple[Step, ...]:
    table = shell.names.table
    steps: list[Step] = [create(shell, rest)]
    # A hash is asked of the table that is partitioned by it; that is the shadow until the swap, and the same after.
    check = check_sql(first.bound, shell.partitioner.key, shell.names.shadow)
    if check is not None:
        name = quote(shell.names.bound_check)
        steps += [
            Statements(
                name="bound",
                title=f"a CHECK that every row of {table.plain} fits its bound, not valid yet",
                why="a change of the catalog only; from here on a row beyond the bound is refused",
                statements=(
                    Statement(
                        f"ALTER TABLE {table.full} ADD CONSTRAINT {name} CHECK ({check}) NOT VALID",
                        _EXCLUSIVE,
                        "NOT VALID reads no row",
                    ),
                ),
            ),
            Statements(
                name="bound",
                title="the CHECK, validated",
                why="reads every row and blocks neither reads nor writes; spares the swap that reading",
                statements=(
                    Statement(
                        f"ALTER TABLE {table.full} VALIDATE CONSTRAINT {name}",
                        LockMode.SHARE_UPDATE_EXCLUSIVE,
                        "blocks neither reads nor writes",
                    ),
                ),
            ),
        ]
    if shell.primary_is_widened:
        steps.append(
            _unique_index(shell, shell.names.wide_key, table, shell.primary_key, shell.inventory.primary_key)
        )
    for key in _widened_keys(shell):
        wide = _wide(shell, key.columns)
        steps.append(_unique_index(shell, _widened_name(shell, key.name), table, wide, key))
    for index in _widened(shell):
        steps.append(_built(shell, _widened_name(shell, index.name), table, index.definition))
    steps.append(_swap(shell, first))
    steps.append(
        Statements(
            name="analyze",
            title=f"statistics of {table.plain}",
            why="reads a sample; blocks neither reads nor writes",
            statements=(
                Statement(f"ANALYZE {table.full}", LockMode.SHARE_UPDATE_EXCLUSIVE, "blocks nothing"),
            ),
        )
    )
    comments = cut_over.comments(table, shell.inventory, shell.shared_names)
    if comments:
        steps.append(
            Statements("comments", "on keys, indexes, triggers", "blocks neither reads nor writes", comments)
        )
    return (*steps, *cut_over.inbound(shell.inventory))


def back(shell: Shell, first: Partition, rest: tuple[Partition, ...]) -> tuple[Step, ...]:
    """Open as long as no row has come into another partition."""
    steps: list[Step] = []
    primary = shell.inventory.primary_key
    leaf = _leaf(shell, first)
    if primary is not None and shell.primary_is_widened:
        steps.append(_unique_index(shell, shell.names.narrow_key, leaf, primary.columns, primary))
    for key in _widened_keys(shell):
        steps.append(_unique_index(shell, _narrow_name(shell, key.name), leaf, key.columns, key))
    for index in _widened_before(shell):
        steps.append(_built(shell, _narrow_name(shell, index.name), leaf, index.placed))
    steps.append(_swap_back(shell, first, rest))
    return (*steps, *cut_over.inbound(shell.inventory))


def abandon(shell: Shell) -> tuple[Step, ...]:
    names = shell.names
    table = names.table.full
    indexes = [names.wide_key, names.narrow_key, *widened_indexes(shell)]
    return (
        Statements(
            name="clean up",
            title=f"{names.table.plain} loses what was added to it",
            why="a change of the catalog only; a short lock timeout, asked again",
            statements=(
                Statement(
                    f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quote(names.bound_check)}",
                    _EXCLUSIVE,
                    "a change of the catalog only",
                ),
                *(
                    Statement(
                        f"DROP INDEX IF EXISTS {names.in_schema(index)}", _EXCLUSIVE, "no query uses it yet"
                    )
                    for index in indexes
                ),
            ),
        ),
        *(
            Statements(
                name="drop",
                title=f"{foreign.name} of {names.shadow.plain}",
                why=f"{foreign.target} is locked for the blink of a catalog change",
                statements=(
                    Statement(
                        f"ALTER TABLE IF EXISTS {names.shadow.full} DROP CONSTRAINT IF EXISTS {quote(foreign.name)}",
                        _EXCLUSIVE,
                        "a change of the catalog only",
                    ),
                ),
            )
            for foreign in shell.inventory.foreign_keys
        ),
        Statements(
            name="drop",
            title=names.shadow.plain,
            why="nobody uses it; its partitions are empty",
            statements=(
                Statement(f"DROP TABLE IF EXISTS {names.shadow.full}", _EXCLUSIVE, "nobody uses it"),
            ),
        ),
        Statements(
            name="done",
            title=f"{names.table.plain} is as it was",
            why="touches the journal only",
            statements=(),
            state="abandoned",
        ),
    )


def finish(shell: Shell) -> tuple[Step, ...]:
    keys = [key.name for key in _widened_keys(shell)] + [index.name for index in _widened_before(shell)]
    left = [_narrow_name(shell, name) for name in keys]
    if shell.primary_is_widened:
        left.insert(0, shell.names.narrow_key)
    clean_up = Statements(
        name="clean up",
        title="what a way back that was refused has left",
        why="a change of the catalog only, where there is anything; a short lock timeout, asked again",
        statements=tuple(
            Statement(
                f"DROP INDEX IF EXISTS {shell.names.in_schema(index)}",
                _EXCLUSIVE,
                "built for the way back only",
            )
            for index in left
        ),
    )
    return (
        *((clean_up,) if left else ()),
        Statements(
            name="done",
            title=f"{shell.names.table.plain} is partitioned for good",
            why="touches the journal only",
            statements=(),
            state="finished",
        ),
    )


def widened_indexes(shell: Shell) -> tuple[str, ...]:
    """What is built beside a unique key that is to be widened."""
    names = [*(key.name for key in _widened_keys(shell)), *(index.name for index in _widened(shell))]
    return tuple(_widened_name(shell, name) for name in names)


def create(shell: Shell, rest: tuple[Partition, ...]) -> Statements:
    """The partitioned table with everything that can be there before any row is."""
    statements = [*shell.create(), *shell.grants()]
    for partition in rest:
        statements += shell.partition(partition)
    for index in shell.late_indexes:
        unique = "UNIQUE " if index.unique else ""
        if index.on_parent:
            name = quote(shell.names.fresh(index.name))
            sql = f"CREATE {unique}INDEX {name} ON {shell.names.shadow.full} {index.definition}"
            statements.append(_new(sql))
        else:
            statements += [
                _new(shell.index_on_leaf(index, leaf, concurrently=False)) for leaf, _ in shell.holders(rest)
            ]
    for foreign in shell.inventory.foreign_keys:
        sql = (
            f"ALTER TABLE {shell.names.shadow.full} ADD CONSTRAINT {quote(foreign.name)} {foreign.definition}"
        )
        statements.append(
            Statement(
                sql,
                LockMode.SHARE_ROW_EXCLUSIVE,
                f"{foreign.target} is locked for milliseconds: no row to read",
            )
        )
    return Statements(
        name="create",
        title=f"{shell.names.shadow.plain} with {len(rest)} partitions for what is to come, empty",
        why="reads the definition of the table under ACCESS SHARE, which blocks nothing",
        statements=tuple(statements),
        unchanged="all",
    )


def _swap(shell: Shell, first: Partition) -> Step:
    names, inventory = shell.names, shell.inventory
    leaf = _leaf(shell, first)
    statements = list(cut_over.drop_inbound(inventory))
    for sequence in inventory.sequences:
        if sequence.identity:
            old, fresh = names.in_schema(sequence.name), names.in_schema(names.fresh(sequence.name))
            column = quote(sequence.column)
            statements += [
                cut_over.advance(fresh, old, sequence),
                _catalog(f"ALTER TABLE {names.table.full} ALTER COLUMN {column} DROP IDENTITY"),
                _catalog(f"ALTER SEQUENCE {fresh} RENAME TO {quote(sequence.name)}"),
            ]
        else:
            statements.append(cut_over.owned_by(sequence, names.shadow))
    # A row trigger of the same name on the partition stops ATTACH; the parent brings them all.
    statements += [
        _catalog(f"DROP TRIGGER {quote(trigger.name)} ON {names.table.full}")
        for trigger in inventory.triggers
    ]
    statements += cut_over.rename(names.table, leaf.name)
    statements += _keys_of_leaf(shell, leaf)
    statements += cut_over.rename(names.shadow, names.table.name)
    statements += [
        _catalog(f"ALTER INDEX {names.in_schema(names.fresh(index))} RENAME TO {quote(index)}")
        for index in shell.shared_names
    ]
    statements += [
        Statement(
            f"ALTER TABLE {names.table.full} ATTACH PARTITION {leaf.full} {bound_sql(first.bound)}",
            _EXCLUSIVE,
            "the CHECK proves the bound and every index is there, so no row is read",
        ),
        _catalog(f"ALTER TABLE {leaf.full} DROP CONSTRAINT IF EXISTS {quote(names.bound_check)}"),
        _catalog(f"COMMENT ON TABLE {leaf.full} IS {literal(shell.marker)}"),
        *cut_over.carried(names.table, inventory),
        *cut_over.add_inbound(inventory),
        *cut_over.publish(inventory, added=names.table, dropped=leaf),
    ]
    return Statements(
        name="swap",
        title=f"{names.table.plain} becomes {leaf.plain}, first partition of what now gets its name",
        why="milliseconds of catalog changes; waits at most the lock timeout, then lets the application pass",
        first=(*cut_over.lock_others(inventory), cut_over.lock(names.table)),
        unchanged="all",
        statements=tuple(statements),
        state="swapped",
    )


def _keys_of_leaf(shell: Shell, leaf: QualifiedName) -> list[Statement]:
    """The old indexes give up their names to the parent's, and its keys become as wide as the parent's."""
    names, inventory = shell.names, shell.inventory
    statements: list[Statement] = []
    primary = inventory.primary_key
    if primary is not None and shell.primary_is_widened:
        statements.append(
            _replace(leaf, primary.name, names.wide_key, leaf_index(leaf.name, primary.name), "PRIMARY KEY")
        )
    elif primary is not None:
        statements.append(_index_renamed(shell, primary.name, leaf_index(leaf.name, primary.name)))
    wide_keys = {key.name for key in _widened_keys(shell)}
    for key in inventory.keys:
        if key.name in wide_keys:
            wide = _widened_name(shell, key.name)
            statements.append(_replace(leaf, key.name, wide, leaf_index(leaf.name, key.name), "UNIQUE"))
        elif not key.primary:
            statements.append(_index_renamed(shell, key.name, leaf_index(leaf.name, key.name)))
    wide_indexes = {index.name for index in _widened(shell)}
    for index in inventory.indexes:
        if index.name in wide_indexes:
            statements.append(_catalog(f"DROP INDEX {names.in_schema(index.name)}"))
            statements.append(
                _index_renamed(shell, _widened_name(shell, index.name), leaf_index(leaf.name, index.name))
            )
        else:
            statements.append(_index_renamed(shell, index.name, leaf_index(leaf.name, index.name)))
    return statements


def _swap_back(shell: Shell, first: Partition, rest: tuple[Partition, ...]) -> Step:
    names, inventory = shell.names, shell.inventory
    leaf = _leaf(shell, first)
    others = tuple(QualifiedName(partition.name, leaf.schema).full for partition in rest)
    statements: list[Statement] = [
        *cut_over.drop_inbound(inventory),
        _catalog(f"ALTER TABLE {names.table.full} DETACH PARTITION {leaf.full}"),
        *cut_over.rename(names.table, names.shadow.name),
        *(
            _catalog(f"ALTER INDEX {names.in_schema(index)} RENAME TO {quote(names.fresh(index))}")
            for index in shell.shared_names
        ),
    ]
    for sequence in inventory.sequences:
        if sequence.identity:
            column = inventory.column(sequence.column)
            how = "ALWAYS" if column is not None and column.identity == "always" else "BY DEFAULT"
            own, fresh = names.in_schema(sequence.name), names.in_schema(names.fresh(sequence.name))
            statements += [
                _catalog(f"ALTER SEQUENCE {own} RENAME TO {quote(names.fresh(sequence.name))}"),
                _catalog(
                    f"ALTER TABLE {leaf.full} ALTER COLUMN {quote(sequence.column)} "
                    f"ADD GENERATED {how} AS IDENTITY (SEQUENCE NAME {own} {sequence.settings})"
                ),
                cut_over.advance(own, fresh, sequence),
                *shell.sequence(sequence, own),
            ]
        else:
            statements.append(cut_over.owned_by(sequence, leaf))
    statements += _keys_of_table(shell, leaf)
    statements += cut_over.rename(leaf, names.table.name)
    comment = literal(inventory.comment) if inventory.comment is not None else "NULL"
    statements += [
        _catalog(f"COMMENT ON TABLE {names.table.full} IS {comment}"),
        *cut_over.carried(names.table, inventory, policies=False),
        *cut_over.add_inbound(inventory),
        *cut_over.publish(inventory, added=names.table, dropped=names.shadow),
        *cut_over.comments(names.table, inventory, _all_indexes(shell)),
    ]
    return Statements(
        name="swap back",
        title=f"{leaf.plain} becomes {names.table.plain} again",
        why="milliseconds of catalog changes; refused where a row has come into another partition",
        first=(*cut_over.lock_others(inventory), cut_over.lock(names.table)),
        unchanged="columns",
        empty=others,
        otherwise="refuse",
        statements=tuple(statements),
        state="swapped back",
    )


def _keys_of_table(shell: Shell, leaf: QualifiedName) -> list[Statement]:
    """The opposite of `_keys_of_leaf`."""
    names, inventory = shell.names, shell.inventory
    statements: list[Statement] = []
    primary = inventory.primary_key
    if primary is not None and shell.primary_is_widened:
        wide = leaf_index(leaf.name, primary.name)
        statements.append(_replace(leaf, wide, names.narrow_key, primary.name, "PRIMARY KEY"))
    elif primary is not None:
        statements.append(_index_renamed(shell, leaf_index(leaf.name, primary.name), primary.name))
    wide_keys = {key.name for key in _widened_keys(shell)}
    wide_indexes = {index.name for index in _widened(shell)}
    for name in sorted(wide_keys):
        wide = leaf_index(leaf.name, name)
        statements.append(_replace(leaf, wide, _narrow_name(shell, name), name, "UNIQUE"))
    for name in sorted(wide_indexes):
        statements.append(_catalog(f"DROP INDEX {names.in_schema(leaf_index(leaf.name, name))}"))
        statements.append(_index_renamed(shell, _narrow_name(shell, name), name))
    others = [
        *(key.name for key in inventory.keys if not key.primary),
        *(index.name for index in inventory.indexes),
    ]
    statements += [
        _index_renamed(shell, leaf_index(leaf.name, name), name)
        for name in others
        if name not in wide_keys | wide_indexes
    ]
    return statements


def _all_indexes(shell: Shell) -> tuple[str, ...]:
    return (*(key.name for key in shell.inventory.keys), *(index.name for index in shell.inventory.indexes))


def _widened_keys(shell: Shell) -> tuple[Key, ...]:
    return tuple(
        key for key in shell.inventory.keys if not key.primary and shell.unique.get(key.name) == "widen"
    )


def _widened(shell: Shell) -> tuple[LateIndex, ...]:
    return tuple(
        index for index in shell.late_indexes if index.on_parent and shell.unique.get(index.name) == "widen"
    )


def _widened_before(shell: Shell) -> tuple[Index, ...]:
    """The same indexes as they were."""
    names = {index.name for index in _widened(shell)}
    return tuple(index for index in shell.inventory.indexes if index.name in names)


def _narrow_name(shell: Shell, name: str) -> str:
    return shorten(shell.names.table.name, name, "evolve_narrow")


def _widened_name(shell: Shell, name: str) -> str:
    return shorten(shell.names.table.name, name, "evolve_wide")


def _wide(shell: Shell, columns: tuple[str, ...]) -> tuple[str, ...]:
    return (*columns, *(name for name in shell.partitioner.key if name not in columns))


def _unique_index(
    shell: Shell, index: str, table: QualifiedName, columns: tuple[str, ...], key: Key | None
) -> Step:
    """Over `columns`, kept as the index of `key` is."""
    listed = ", ".join(quote(name) for name in columns)
    return _built(shell, index, table, f"USING btree ({listed}){key.storage if key else ''}")


def _built(shell: Shell, index: str, table: QualifiedName, definition: str) -> Step:
    sql = f"CREATE UNIQUE INDEX CONCURRENTLY {quote(index)} ON {table.full} {definition}"
    return BuildIndex(
        name="keys",
        title=f"{index} on {table.plain}",
        why="CONCURRENTLY: blocks neither reads nor writes",
        schema=shell.names.table.schema,
        index=index,
        table=table.full,
        build=Statement(
            sql, LockMode.SHARE_UPDATE_EXCLUSIVE, "blocks neither reads nor writes", transactional=False
        ),
    )


def _replace(table: QualifiedName, constraint: str, index: str, name: str, kind: str) -> Statement:
    # In one ALTER TABLE, so that the key is never missing.
    return _catalog(
        f"ALTER TABLE {table.full} DROP CONSTRAINT {quote(constraint)}, "
        f"ADD CONSTRAINT {quote(name)} {kind} USING INDEX {quote(index)}"
    )


def _index_renamed(shell: Shell, index: str, to: str) -> Statement:
    return _catalog(f"ALTER INDEX {shell.names.in_schema(index)} RENAME TO {quote(to)}")


def _leaf(shell: Shell, first: Partition) -> QualifiedName:
    return QualifiedName(first.name, shell.names.table.schema)


def _catalog(sql: str) -> Statement:
    return Statement(sql, _EXCLUSIVE, cut_over.CATALOG)


def _new(sql: str) -> Statement:
    return Statement(sql, None, "nobody knows this table yet")
