"""EV134: `REINDEX` without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class ReindexBlocking(Rule):
    id = "EV134"
    name = "reindex-blocking"
    severity = Severity.ERROR
    looks_at = (op.Reindex,)
    lock = LockMode.SHARE
    scan = True
    peers = ("squawk:require-concurrent-reindex",)
    why = (
        "writers wait until every index is built; readers wait as well, since planning any query of the table looks at "
        "each of its indexes, and the one that is built anew is locked"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Reindex(kind, name, concurrently=False):
                what = (
                    f'{kind} "{name.plain}"'
                    if name is not None and kind in ("index", "table")
                    else f"the {kind}"
                )
            case _:
                return
        table = _table(step.operation, history)
        if table is not None and not history.in_use(table):
            return
        words = f"REINDEX {kind.upper()} CONCURRENTLY {name or ''}".rstrip()
        plain = not (table is not None and _partitioned(history, table))
        yield self.finding(
            step,
            f"reindexing {what} stops writes until it is done, and reads that would be planned meanwhile",
            table=table if plain else None,
            safe=(code.autocommit(code.execute(words)),) if name is not None and kind != "system" else (),
        )


def _table(operation: op.Reindex, history: History) -> QualifiedName | None:
    """The table that is locked, where it is one."""
    match operation:
        case op.Reindex("table", name):
            return name
        case op.Reindex("index", name) if name is not None:
            index = history.schema.indexes.get(name)
            return index.definition.table if index is not None else None
        case _:
            return None


def _partitioned(history: History, table: QualifiedName) -> bool:
    found = history.schema.table(table)
    return found is not None and found.partition_by is not None
