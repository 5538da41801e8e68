"""EV230: a guarantee that running code relies on goes: a unique key, an exclusion, or what a foreign key does."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.replay.drops import foreign_keys_on
from evolve.sql.schema import Index, Table
from evolve.sql.steps import Step


class DropConstraint(Rule):
    id = "EV230"
    name = "drop-constraint"
    severity = Severity.WARNING
    peers = ("squawk:ban-drop-constraint",)
    looks_at = (op.DropConstraint, op.DropIndex)
    breaks_old_code = True
    why = (
        "INSERT … ON CONFLICT needs a unique key over its columns and fails without one; and what the constraint kept "
        "out comes in from the first moment, so that it cannot be put back before the data are repaired"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropConstraint(table, name, cascade=False) if _leaning(history, table, name):
                if certain(step, history):
                    key, other = _leaning(history, table, name)[0]
                    yield self.finding(
                        step,
                        f'"{name}" of "{table.plain}" cannot be dropped while the foreign key "{key.name}" of '
                        f'"{other.name.plain}" needs it',
                        severity=Severity.ERROR,
                        fails=True,
                        breaks_old_code=False,
                        why="PostgreSQL refuses it; drop the foreign key first, so that what is lost stands in the "
                        "revision: CASCADE takes it along without a word",
                    )
            case op.DropConstraint(table, name) if history.in_use(table) and not _goes(history, table):
                yield from self._constraint(step, history, table, name)
            case op.DropIndex(name):
                index = history.schema.indexes.get(name)
                if index is not None and index.definition.unique and index.constraint is None and index.valid:
                    yield from self._index(step, history, index)
            case _:
                return

    def _constraint(self, step: Step, history: History, table: QualifiedName, name: str) -> Iterator[Finding]:
        found = history.schema.table(table)
        constraint = found.constraint(name) if found is not None else None
        index = history.schema.indexes.get(QualifiedName(name, table.schema))
        match constraint:
            case op.Unique(columns=columns):
                if not _goes(history, table, *columns) and (
                    index is None or not _replaced(step, history, index)
                ):
                    yield self._finding(
                        step, table, f'the unique key "{name}" ({", ".join(columns)}) of "{table.plain}" goes'
                    )
            case op.Exclude():
                yield self._finding(step, table, f'the exclusion "{name}" of "{table.plain}" goes')
            case op.ForeignKey(columns=columns, target=target, on_delete=str(action)) as key:
                gone = _goes(history, target) or _goes(history, table, *columns)
                if not gone and not _has_twin(step, history, table, key):
                    yield self._finding(
                        step,
                        table,
                        f'ON DELETE {action} from "{target.plain}" to "{table.plain}" ({", ".join(columns)}) goes with '
                        f'"{name}"',
                        why="code that deletes there and leaves the rest to PostgreSQL leaves orphans from now on",
                    )
            # A CHECK, a NOT NULL and a foreign key without an action only let more in. EV232 is for primary keys.
            case _:
                return

    def _index(self, step: Step, history: History, index: Index) -> Iterator[Finding]:
        table = index.definition.table
        used = history.in_use(table) and index.name not in history.new_indexes
        columns = filter(None, index.definition.columns)
        if used and not _goes(history, table, *columns) and not _replaced(step, history, index):
            # Without the lock: EV103 tells of it, and CONCURRENTLY takes none that is worth telling.
            yield self._finding(step, None, f'the unique index "{index.name.plain}" of "{table.plain}" goes')

    def _finding(self, step: Step, table: QualifiedName | None, what: str, why: str | None = None) -> Finding:
        return self.finding(
            step,
            f"{what}, and with it what running code may rely on",
            table=table,
            lock=LockMode.ACCESS_EXCLUSIVE if table is not None else None,
            why=why,
        )


def _leaning(history: History, table: QualifiedName, name: str) -> list[tuple[op.ForeignKey, Table]]:
    """The foreign keys that need a unique constraint; of a primary key EV232 tells."""
    found = history.schema.table(table)
    index = history.schema.indexes.get(QualifiedName(name, table.schema))
    if found is None or index is None or not isinstance(found.constraint(name), op.Unique):
        return []
    return [(key, other) for other, key in foreign_keys_on(history.schema, index) if other.name != table]


def _goes(history: History, table: QualifiedName, *columns: str) -> bool:
    """The same revision drops the table or one of the columns, and that is what is told of."""
    for later in history.later():
        match later.operation:
            case op.DropTable(dropped) if dropped == table:
                return True
            case op.DropColumn(of, column) if of == table and column in columns:
                return True
            case _:
                pass
    return False


def _replaced(step: Step, history: History, gone: Index) -> bool:
    """Another unique index keeps the same columns unique, or the same transaction makes one."""
    wanted = gone.definition
    for other in history.schema.indexes_of(wanted.table):
        if other.name != gone.name and other.valid and _as_strict(other.definition, wanted):
            return True
    return any(
        _remakes(later.operation, wanted)
        for later in history.later()
        if step.transaction is not None and later.transaction == step.transaction
    )


def _remakes(operation: op.Operation, wanted: op.IndexDefinition) -> bool:
    match operation:
        case op.CreateIndex(index):
            return _as_strict(index, wanted)
        case op.AddConstraint(table, op.Unique(columns=columns) | op.PrimaryKey(columns=columns)):
            return table == wanted.table and set(columns) == set(wanted.columns)
        case _:
            return False


def _as_strict(index: op.IndexDefinition, wanted: op.IndexDefinition) -> bool:
    same = index.unique and index.table == wanted.table and index.where in (None, wanted.where)
    expressions = {key.expression for key in index.keys} == {key.expression for key in wanted.keys}
    return same and expressions and set(index.columns) == set(wanted.columns)


def _has_twin(step: Step, history: History, table: QualifiedName, key: op.ForeignKey) -> bool:
    found = history.schema.table(table)
    there = [other for other in found.foreign_keys if other.name != key.name] if found is not None else []
    for later in history.later():
        match later.operation:
            case op.AddConstraint(later_table, op.ForeignKey() as added) if later_table == table:
                if later.transaction == step.transaction:
                    there.append(added)
            case _:
                pass
    return any(other.columns == key.columns and other.on_delete is not None for other in there)
