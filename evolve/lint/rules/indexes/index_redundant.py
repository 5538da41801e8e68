"""EV801: two indexes of which one does all that the other does."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.covers import covers
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Index
from evolve.sql.steps import Step


class IndexRedundant(Rule):
    id = "EV801"
    name = "index-redundant"
    severity = Severity.WARNING
    why = (
        "every index is written on every insert and on most updates, and takes disk and cache; the spare "
        "one answers no query that the other does not"
    )

    def finish(self, history: History) -> Iterator[Finding]:
        # Looked at from the end: making the new index before dropping the old one is the right order.
        told: set[QualifiedName] = set()
        # Of two equal ones the later is spare, and is no reason for the earlier to go.
        for name, step in reversed(history.new_indexes.items()):
            index = history.schema.indexes.get(name)
            if index is None:
                continue
            for other in history.schema.indexes_of(index.definition.table):
                pair = _spare_and_reason(index, other)
                if pair is not None and told.isdisjoint(map(_name, pair)):
                    told.add(_name(pair[0]))
                    yield self._finding(step, history, *pair)

    def _finding(self, step: Step, history: History, spare: Index, other: Index) -> Finding:
        made_here = _name(spare) in history.new_indexes
        fix = (
            "leave it out"
            if made_here
            else f"DROP INDEX CONCURRENTLY {_name(spare)}, in a revision of its own"
        )
        return self.finding(
            step,
            f'index "{_name(spare).name}" on "{spare.definition.table.plain}" ({_columns(spare)}) is spare: '
            f'"{_name(other).name}" ({_columns(other)}) answers the same queries',
            fix=fix,
        )


def _spare_and_reason(index: Index, other: Index) -> tuple[Index, Index] | None:
    """The one of two indexes that could go, then the one that makes it so."""
    if other is index:
        return None
    if index.constraint is None and covers(other.definition, index.definition):
        return index, other
    if other.constraint is None and covers(index.definition, other.definition):
        return other, index
    return None


def _columns(index: Index) -> str:
    return ", ".join(
        key.column or (key.expression.sql if key.expression else "?") for key in index.definition.keys
    )


def _name(index: Index) -> QualifiedName:
    # A replayed index always has its name.
    return QualifiedName(index.definition.name or "", index.definition.table.schema)
