"""EV623: maintenance that PostgreSQL refuses inside a transaction block."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class VacuumInTransaction(Rule):
    id = "EV623"
    name = "vacuum-in-transaction"
    severity = Severity.ERROR
    looks_at = (op.Other, op.Reindex)
    fails = True
    why = (
        "PostgreSQL refuses it inside a transaction block, and Alembic opens one around every revision; "
        "autocommit_block() steps out of it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if step.transaction is None:
            return
        safe: tuple[str, ...] = ()
        match step.operation:
            case op.Other("VACUUM"):
                what = "VACUUM"
                safe = (code.autocommit(code.execute(step.sql)),)
            case op.Other("VACUUM FULL"):
                what = "VACUUM FULL"
            case op.Other("CLUSTER", None):
                what = "CLUSTER of every table"
            case op.Reindex(kind, name, concurrently=False) if _spans(kind, name, history):
                what = (
                    f"REINDEX {kind.upper()}" if kind not in ("index", "table") else "REINDEX of partitions"
                )
            case _:
                return
        yield self.finding(step, f"{what} runs inside a transaction and fails", safe=safe)


def _spans(kind: str, name: QualifiedName | None, history: History) -> bool:
    """True where each table is built in a transaction of its own: then there must be none round them."""
    if kind not in ("index", "table"):
        return True
    if name is None:
        return False
    index = history.schema.indexes.get(name) if kind == "index" else None
    table = history.schema.table(index.definition.table if index is not None else name)
    return table is not None and table.partition_by is not None
