"""EV687: an index whose method does not hold the type of its column, or cannot be what it shall be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import added
from evolve.lint.rules.indexes.made import made
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.operator_classes import HELD, holds
from evolve.sql.steps import Step

# What gives the method operator classes for most types.
_EXTENSIONS = {"gin": ("btree_gin",), "gist": ("btree_gist", "intarray")}
# Of these, no extension that comes with PostgreSQL makes one.
_NEVER = frozenset({"json", "xml"})
_SHAPES = frozenset({"point", "line", "lseg", "box", "path", "polygon", "circle"})


class IndexMethodUnfit(Rule):
    id = "EV687"
    name = "index-method-unfit"
    severity = Severity.ERROR
    looks_at = (op.CreateIndex, op.AddConstraint, op.AddColumn, op.CreateTable)
    fails = True
    why = (
        "an index compares values by an operator class, and not every method has one for every type: the statement "
        "fails where none is named and the type has none by default"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is not None and index.method in HELD:
            yield from self._index(step, history, index)
        for table, constraint in added(step.operation, history):
            match constraint:
                case op.Unique(columns, using_index=None) | op.PrimaryKey(columns, using_index=None):
                    yield from self._keys(step, history, table, columns or _own(step.operation), "btree")
                case op.Exclude(method=method, keys=compared):
                    names = [key.column for key in compared if key.column is not None and key.opclass is None]
                    yield from self._keys(step, history, table, names, method)
                case _:
                    pass
        match step.operation:
            case op.CreateTable(table, partition_by=op.PartitionBy(how, keys)):
                yield from self._keys(step, history, table, keys, "hash" if how == "hash" else "btree")
            case _:
                pass

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        refused = (*WHERE_REFUSED, "gin-jsonb-ops", "index-hash", "add-exclusion")
        return refused if any(self.check(step, history)) else ()

    def _index(self, step: Step, history: History, index: op.IndexDefinition) -> Iterator[Finding]:
        reason = _impossible(index)
        if reason is not None:
            if certain(step, history):
                yield self.finding(step, f"no {index.method} index {reason}")
            return
        names = [key.column for key in index.keys if key.column is not None and key.opclass is None]
        if index.method == "btree":
            # index-btree-on-jsonb and index-btree-on-geometry tell of the rest.
            names = [name for name in names if index.unique and not _is_shape(index.table, name, history)]
        yield from self._keys(step, history, index.table, names, index.method)

    def _keys(
        self,
        step: Step,
        history: History,
        table: QualifiedName,
        columns: Iterable[str],
        method: str,
    ) -> Iterator[Finding]:
        brought = _EXTENSIONS.get(method, ())
        if not history.schema.extensions.isdisjoint(brought):
            return
        for column in columns:
            type_ = _type(table, column, step.operation, history)
            if (
                type_ is None
                or holds(method, type_, history.schema) is not False
                or not certain(step, history)
            ):
                continue
            by_hand = bool(brought) and type_ not in _NEVER
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is {type_}, which no {method} index holds'
                + (
                    f" unless the extension {brought[0]} is there, which no revision makes" if by_hand else ""
                ),
                severity=Severity.WARNING if by_hand else None,
                fix=_instead(method, type_, column),
            )


def _own(operation: op.Operation) -> tuple[str, ...]:
    """The column that a constraint without columns is written at."""
    return (operation.column.name,) if isinstance(operation, op.AddColumn) else ()


def _impossible(index: op.IndexDefinition) -> str | None:
    if index.method == "btree":
        return None
    if index.unique:
        return "is unique: only those of the method btree are"
    if index.method in ("hash", "spgist") and len(index.keys) > 1:
        return "has several columns"
    if any(key.descending for key in index.keys):
        return "sorts its columns"
    return None


def _is_shape(table: QualifiedName, column: str, history: History) -> bool:
    known = history.schema.column(table, column)
    return known is not None and known.type in _SHAPES


def _type(table: QualifiedName, column: str, operation: op.Operation, history: History) -> str | None:
    """None where no revision tells."""
    match operation:
        case op.CreateTable(columns=columns):
            return next((each.type for each in columns if each.name == column), None)
        case _:
            pass
    for clause in history.clauses:
        match clause:
            case op.AddColumn(altered, new) if (altered, new.name) == (table, column):
                return new.type
            case op.AlterColumnType(altered, name, type_) if (altered, name) == (table, column):
                return type_
            case _:
                pass
    known = history.schema.column(table, column)
    return known.type or None if known is not None else None


def _instead(method: str, type_: str, column: str) -> str | None:
    if type_ in _NEVER:
        return "make the column jsonb, or index an expression that takes a text out of it"
    if method == "gin" and ("char" in type_ or type_ == "text"):
        return f'name the class: postgresql_ops={{"{column}": "gin_trgm_ops"}} with pg_trgm, or index to_tsvector(…)'
    return None
