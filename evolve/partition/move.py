"""The steps by which partitions give way to others that take the same keys, while the table is read and written.

A shadow table, partitioned by the same key, holds the new partitions; a trigger on each old one brings its writes
there.
The swap is one transaction in which old and new partitions change places: from then on the shadow holds the old ones,
and the same trigger, on the new ones, keeps them in step. So the way back is the same exchange again.
"""

from __future__ import annotations

from evolve.partition import cut_over, sync
from evolve.partition.convert import foreign_keys, key_types
from evolve.partition.pieces import Exchange, Source
from evolve.partition.shell import Shell, grant_on, leaf_index
from evolve.partition.steps import AwaitSnapshots, BuildIndex, Copy, Statements, Step, Verify
from evolve.plugin_api import bound_sql
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement

_EXCLUSIVE = LockMode.ACCESS_EXCLUSIVE
_MILLISECONDS = "a change of the catalog only; a short lock timeout, asked again"


def forward(exchange: Exchange) -> tuple[Step, ...]:
    """Everything up to the swap."""
    shell = exchange.shell()
    born = tuple(piece.born for piece in exchange.pieces)
    return (
        _create(exchange, shell),
        *_conditions(exchange),
        *(_sync(exchange, shell, number) for number in range(len(exchange.sources))),
        *(_copy(exchange, shell, source) for source in exchange.sources),
        AwaitSnapshots(
            name="wait",
            title="transactions that began before the copy ended",
            why="they would look at the new partitions and miss the rows that were copied after they began",
        ),
        *_indexes(exchange, shell),
        *foreign_keys(shell, born),
        Statements(
            name="analyze",
            title="statistics of the new partitions",
            why="reads a sample; without it the first queries after the swap would be planned blindly",
            statements=(
                Statement(
                    # Not of the shadow: what it says of all of them together goes with it.
                    f"ANALYZE {', '.join(exchange.qualified(name).full for name in born)}",
                    LockMode.SHARE_UPDATE_EXCLUSIVE,
                    "blocks neither reads nor writes",
                ),
            ),
        ),
        *(_verify(exchange, shell, source) for source in exchange.sources),
        _swap(exchange),
    )


def back(exchange: Exchange) -> tuple[Step, ...]:
    return (_swap_back(exchange),)


def abandon(exchange: Exchange) -> tuple[Step, ...]:
    """Clear away the new partitions. Also what comes after the swap back."""
    names = exchange.names
    sources = [exchange.qualified(source.partition.name) for source in exchange.sources]
    return (
        *(_sync_off(source) for source in sources),
        *(
            _checks_gone(source, _named(source.name, exchange.source_checks(of)))
            for source, of in zip(sources, exchange.sources, strict=True)
        ),
        *_bystander_free(exchange),
        _shadow_gone(exchange, "the new partitions and what held them"),
        Statements(
            name="done",
            title=f"{names.table.plain} is as it was",
            why="touches the journal only",
            statements=(),
            state="abandoned",
        ),
    )


def finish(exchange: Exchange) -> tuple[Step, ...]:
    """Give up the way back: the old partitions go."""
    pieces = exchange.pieces
    return (
        *(_sync_off(exchange.qualified(piece.name)) for piece in pieces),
        *(
            Statements(
                name="drop",
                title=f"{foreign.name} of {exchange.aside(source)}",
                why=f"{foreign.target} is locked for the blink of a catalog change",
                statements=(
                    _catalog(
                        f"ALTER TABLE {exchange.qualified(exchange.aside(source)).full} "
                        f"DROP CONSTRAINT IF EXISTS {quote(foreign.name)}"
                    ),
                ),
            )
            for source in exchange.sources
            for foreign in exchange.parent.foreign_keys
        ),
        *(_checks_gone(exchange.qualified(p.name), _named(p.born, p.checks)) for p in pieces),
        *_bystander_free(exchange),
        _shadow_gone(exchange, "the old partitions and what held them"),
        *_index_names(exchange),
        Statements(
            name="done",
            title=f"{exchange.names.table.plain} keeps its new partitions for good",
            why="touches the journal only",
            statements=(),
            state="finished",
        ),
    )


# -- before the swap --------------------------------------------------------------------------------------------------
def _create(exchange: Exchange, shell: Shell) -> Step:
    names, parent = exchange.names, exchange.parent
    primary = parent.primary_key
    method, key = exchange.partitioner.partition_by
    constraints = [f"PRIMARY KEY ({_list(primary.columns)})"] if primary else []
    constraints += [unique.definition for unique in parent.keys if not unique.primary]
    statements = [
        _new(
            f"CREATE TABLE {names.shadow.full} (LIKE {names.table.full} INCLUDING DEFAULTS INCLUDING CONSTRAINTS "
            f"INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS, "
            f"{', '.join(constraints)}) PARTITION BY {method} ({_list(key)})"
        ),
        _new(f"ALTER TABLE {names.shadow.full} OWNER TO {parent.owner}"),
    ]
    for piece in exchange.pieces:
        leaf = exchange.qualified(piece.born)
        statements.append(
            _new(
                f"CREATE TABLE {leaf.full} PARTITION OF {names.shadow.full} "
                f"{bound_sql(piece.partition.bound)}{shell.storage}"
            )
        )
        statements += shell.leaf(leaf)
        statements += [_new(f"REVOKE ALL ON TABLE {leaf.full} FROM {to}") for to in parent.default_grantees]
        statements += [grant_on(grant, f"TABLE {leaf.full}") for grant in shell.inventory.grants]
        statements += [
            _new(f"ALTER TABLE {leaf.full} ADD CONSTRAINT {quote(name)} CHECK ({check})")
            for name, check in _named(piece.born, piece.checks)
        ]
        statements.append(_new(f"COMMENT ON TABLE {leaf.full} IS {literal(shell.marker)}"))
    return Statements(
        name="create",
        title=f"{len(exchange.pieces)} partitions of {names.shadow.plain}, empty",
        why="reads the definition of the table under ACCESS SHARE, which blocks nothing",
        statements=tuple(statements),
        unchanged="all",
    )


def _conditions(exchange: Exchange) -> tuple[Step, ...]:
    """The bounds of the old partitions as CHECKs, so that on the way back no row is read under a lock."""
    steps: list[Step] = []
    for source in exchange.sources:
        leaf = exchange.qualified(source.partition.name)
        steps += _checked(leaf, _named(leaf.name, exchange.source_checks(source)), "its own bound")
    bystander, condition = exchange.bystander, exchange.bystander_condition()
    if bystander is not None and condition:
        leaf = exchange.qualified(bystander.name)
        steps += _checked(leaf, _named(leaf.name, (condition,)), "that it holds none of these rows")
    return tuple(steps)


def _checked(leaf: QualifiedName, checks: tuple[tuple[str, str], ...], what: str) -> list[Step]:
    if not checks:
        return []
    return [
        Statements(
            name="bounds",
            title=f"{what} as a CHECK of {leaf.plain}, not validated yet",
            why=_MILLISECONDS,
            statements=tuple(
                _catalog(f"ALTER TABLE {leaf.full} ADD CONSTRAINT {quote(name)} CHECK ({check}) NOT VALID")
                for name, check in checks
            ),
        ),
        Statements(
            name="bounds",
            title=f"the CHECK of {leaf.plain}, validated",
            why="reads the partition and blocks neither reads nor writes",
            statements=tuple(
                Statement(
                    f"ALTER TABLE {leaf.full} VALIDATE CONSTRAINT {quote(name)}",
                    LockMode.SHARE_UPDATE_EXCLUSIVE,
                    "blocks neither reads nor writes",
                )
                for name, _ in checks
            ),
        ),
    ]


def _sync(exchange: Exchange, shell: Shell, number: int) -> Step:
    names = exchange.names
    leaf = exchange.qualified(exchange.sources[number].partition.name)
    function = () if number else sync.between(names, shell.inventory, shell.primary_key)
    return Statements(
        name="sync",
        title=f"every write to {leaf.plain} reaches {names.shadow.plain} too",
        why="writers of this partition wait for milliseconds; asked for with a short lock timeout and asked again",
        statements=(*function, *sync.triggers(leaf, names.forward_function)),
        unchanged="all",
    )


def _copy(exchange: Exchange, shell: Shell, source: Source) -> Step:
    key = shell.primary_key
    leaf = exchange.qualified(source.partition.name)
    return Copy(
        name="copy",
        title=f"rows of {leaf.plain}, in batches",
        why="each batch share-locks its rows for some 50 ms, so that no change slips in between",
        source=leaf.full,
        target=exchange.names.shadow.full,
        columns=shell.inventory.stored_columns,
        key=key,
        key_types=key_types(shell, key),
        conflict=key,
    )


def _indexes(exchange: Exchange, shell: Shell) -> tuple[Step, ...]:
    return tuple(
        BuildIndex(
            name="indexes",
            title=f"{index.name} on {piece.born}",
            why="CONCURRENTLY, because the sync trigger writes to the partition meanwhile",
            schema=exchange.parent.schema,
            index=leaf_index(piece.born, index.name),
            table=exchange.qualified(piece.born).full,
            build=Statement(
                shell.index_on_leaf(index, piece.born, concurrently=True),
                LockMode.SHARE_UPDATE_EXCLUSIVE,
                "blocks neither reads nor writes",
                transactional=False,
            ),
        )
        for index in shell.late_indexes
        for piece in exchange.pieces
    )


def _verify(exchange: Exchange, shell: Shell, source: Source) -> Step:
    key = shell.primary_key
    leaf = exchange.qualified(source.partition.name)
    shadow = exchange.names.shadow.full
    of_source = f"(SELECT * FROM {shadow} WHERE {source.condition}) AS of_source"  # noqa: S608 - quoted names
    return Verify(
        name="verify",
        title=f"{leaf.plain} and the new partitions, range by range: count and sum of row hashes",
        why="reads only, in short snapshots",
        source=leaf.full,
        target=shadow if len(exchange.sources) == 1 else of_source,
        columns=tuple(column.name for column in shell.inventory.columns),
        key=key,
        key_types=key_types(shell, key),
    )


# -- the swap ---------------------------------------------------------------------------------------------------------
def _swap(exchange: Exchange) -> Step:
    table, shadow = exchange.names.table.full, exchange.names.shadow.full
    sources, pieces = exchange.sources, exchange.pieces
    old = [exchange.qualified(source.partition.name) for source in sources]
    new = [exchange.qualified(piece.born) for piece in pieces]
    # A default partition is detached first and attached last, so that it is not read for each of the others.
    statements: list[Statement] = []
    for leaf in old:
        statements += sync.drop_triggers(leaf)
    statements += [_catalog(f"ALTER TABLE {shadow} DETACH PARTITION {leaf.full}") for leaf in reversed(new)]
    statements += [_catalog(f"ALTER TABLE {table} DETACH PARTITION {leaf.full}") for leaf in old]
    statements += [
        _renamed(exchange, s.partition.name, exchange.aside(s)) for s in sources if _moves(exchange, s)
    ]
    statements += [_renamed(exchange, piece.born, piece.name) for piece in pieces if piece.born != piece.name]
    statements += [
        _catalog(
            f"ALTER TABLE {table} ATTACH PARTITION {exchange.qualified(piece.name).full} "
            f"{bound_sql(piece.partition.bound)}"
        )
        for piece in pieces
    ]
    statements += [
        _catalog(
            f"ALTER TABLE {shadow} ATTACH PARTITION {exchange.qualified(exchange.aside(source)).full} "
            f"{bound_sql(source.partition.bound)}"
        )
        for source in sources
    ]
    for piece in pieces:
        statements += sync.triggers(exchange.qualified(piece.name), exchange.names.forward_function)
    return Statements(
        name="swap",
        title=f"old and new partitions of {exchange.names.table.plain} change places",
        why="milliseconds of catalog changes; waits at most the lock timeout, then lets the application pass",
        first=_locks(exchange, (*old, exchange.names.shadow, *new)),
        unchanged="all",
        statements=tuple(statements),
        state="swapped",
    )


def _swap_back(exchange: Exchange) -> Step:
    table, shadow = exchange.names.table.full, exchange.names.shadow.full
    sources, pieces = exchange.sources, exchange.pieces
    old = [exchange.qualified(exchange.aside(source)) for source in sources]
    new = [exchange.qualified(piece.name) for piece in pieces]
    statements: list[Statement] = []
    for leaf in new:
        statements += sync.drop_triggers(leaf)
    statements += [_catalog(f"ALTER TABLE {shadow} DETACH PARTITION {leaf.full}") for leaf in old]
    statements += [_catalog(f"ALTER TABLE {table} DETACH PARTITION {leaf.full}") for leaf in reversed(new)]
    statements += [_renamed(exchange, piece.name, piece.born) for piece in pieces if piece.born != piece.name]
    statements += [
        _renamed(exchange, exchange.aside(s), s.partition.name) for s in sources if _moves(exchange, s)
    ]
    statements += [
        _catalog(
            f"ALTER TABLE {table} ATTACH PARTITION {exchange.qualified(source.partition.name).full} "
            f"{bound_sql(source.partition.bound)}"
        )
        for source in sources
    ]
    statements += [
        _catalog(
            f"ALTER TABLE {shadow} ATTACH PARTITION {exchange.qualified(piece.born).full} "
            f"{bound_sql(piece.partition.bound)}"
        )
        for piece in pieces
    ]
    return Statements(
        name="swap back",
        title=f"the old partitions of {exchange.names.table.plain} take their places again",
        why="milliseconds of catalog changes; the trigger has kept every row",
        first=_locks(exchange, (*new, exchange.names.shadow, *old)),
        # An index that came since would be built on the old partitions under this lock.
        unchanged="all",
        statements=tuple(statements),
        state="swapped back",
    )


def _locks(exchange: Exchange, tables: tuple[QualifiedName, ...]) -> tuple[Statement, ...]:
    """All locks before the first change, in the order in which writers take them: the table, partitions, the shadow.

    ONLY, or LOCK TABLE would take every partition that stays as well.
    """
    bystander = exchange.bystander
    others = () if bystander is None else (exchange.qualified(bystander.name),)
    targets = sorted({foreign.target for foreign in exchange.parent.foreign_keys})
    why = "all that follows are catalog changes of milliseconds"
    return tuple(
        Statement(f"LOCK TABLE ONLY {name} IN ACCESS EXCLUSIVE MODE", _EXCLUSIVE, why)
        for name in (
            exchange.names.table.full,
            *(table.full for table in (*others, *tables)),
            *targets,
        )
    )


def _moves(exchange: Exchange, source: Source) -> bool:
    return exchange.aside(source) != source.partition.name


def _renamed(exchange: Exchange, name: str, to: str) -> Statement:
    return _catalog(f"ALTER TABLE {exchange.qualified(name).full} RENAME TO {quote(to)}")


# -- afterwards -------------------------------------------------------------------------------------------------------
def _sync_off(leaf: QualifiedName) -> Step:
    return Statements(
        name="sync off",
        title=f"the triggers of {leaf.plain} go",
        why=_MILLISECONDS,
        statements=sync.drop_triggers(leaf),
    )


def _shadow_gone(exchange: Exchange, title: str) -> Step:
    return Statements(
        name="drop",
        title=title,
        why="nobody uses them any more",
        statements=(
            *sync.drop_functions(exchange.names),
            Statement(f"DROP TABLE IF EXISTS {exchange.names.shadow.full}", _EXCLUSIVE, "nobody uses it"),
        ),
    )


def _checks_gone(leaf: QualifiedName, checks: tuple[tuple[str, str], ...]) -> Step:
    return Statements(
        name="bounds off",
        title=f"the CHECK of {leaf.plain} goes: its bound says the same",
        why=_MILLISECONDS,
        statements=tuple(
            _catalog(f"ALTER TABLE {leaf.full} DROP CONSTRAINT IF EXISTS {quote(name)}") for name, _ in checks
        ),
    )


def _bystander_free(exchange: Exchange) -> tuple[Step, ...]:
    bystander, condition = exchange.bystander, exchange.bystander_condition()
    if bystander is None or not condition:
        return ()
    return (_checks_gone(exchange.qualified(bystander.name), _named(bystander.name, (condition,))),)


def _index_names(exchange: Exchange) -> tuple[Step, ...]:
    """A partition that bears the name of an old one gets indexes that are called after it."""
    statements = tuple(
        Statement(
            f"""DO $evolve$
DECLARE was name; called name;
BEGIN
  FOR was, called IN
    SELECT c.relname, replace(c.relname, {literal(piece.born)}, {literal(piece.name)})
      FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
     WHERE i.indrelid = {literal(exchange.qualified(piece.name).full)}::regclass
       AND starts_with(c.relname, {literal(piece.born)})
  LOOP
    IF to_regclass(format('%I.%I', {literal(exchange.parent.schema)}, called)) IS NULL THEN
      EXECUTE format('ALTER INDEX %I.%I RENAME TO %I', {literal(exchange.parent.schema)}, was, called);
    END IF;
  END LOOP;
END $evolve$""",  # noqa: S608 - quoted names
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "a change of the catalog only",
        )
        for piece in exchange.pieces
        if piece.born != piece.name
    )
    if not statements:
        return ()
    return (
        Statements(
            "names", "indexes are called after their partitions", "a change of the catalog only", statements
        ),
    )


def _named(table: str, checks: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (shorten(table, "evolve_bound" if number == 0 else f"evolve_bound_{number}"), check)
        for number, check in enumerate(checks)
    )


def _list(columns: tuple[str, ...]) -> str:
    return ", ".join(quote(name) for name in columns)


def _catalog(sql: str) -> Statement:
    return Statement(sql, _EXCLUSIVE, cut_over.CATALOG)


def _new(sql: str) -> Statement:
    return Statement(sql, None, "nobody knows this table yet")
