"""EV232: a primary key goes, and with it what logical replication tells rows apart by."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DropPkReplicaIdentity(Rule):
    id = "EV232"
    name = "drop-pk-replica-identity"
    severity = Severity.ERROR
    looks_at = (op.DropConstraint, op.DropColumn)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    why = (
        "a table in a publication refuses every UPDATE and DELETE once it has no replica identity; ON CONFLICT over "
        "the key fails, duplicates come in, and SELECT … GROUP BY its primary key is refused"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropConstraint(table, name, cascade=cascade) if history.in_use(table):
                pass
            case op.DropColumn(table, name, cascade=cascade) if history.in_use(table):
                pass
            case _:
                return
        found = history.schema.table(table)
        key = found.primary_key if found is not None else None
        if key is None or (
            name not in key.columns if isinstance(step.operation, op.DropColumn) else name != key.name
        ):
            return
        if _has_identity(step, history, table):
            return
        referenced = next(
            (
                other.name
                for other, k in history.schema.foreign_keys_to(table)
                if set(k.target_columns) == set(key.columns)
            ),
            None,
        )
        refused = referenced is not None and referenced != table and not cascade
        because = (
            f'; "{referenced.plain}" has a foreign key to it, so PostgreSQL refuses'
            if refused and referenced
            else ""
        )
        yield self.finding(
            step,
            f'"{table.plain}" loses its primary key "{key.name}" ({", ".join(key.columns)}){because}',
            table=table,
            fails=refused,
            fix="build the new key concurrently first, and swap the two in one transaction: "
            "DROP CONSTRAINT …, ADD PRIMARY KEY USING INDEX …",
        )


def _has_identity(step: Step, history: History, table: QualifiedName) -> bool:
    """The same transaction makes another primary key, or the table was given an identity of another kind."""
    for later in history.later():
        match later.operation:
            case op.AddConstraint(later_table, op.PrimaryKey()) if later_table == table:
                return later.transaction == step.transaction
            case _:
                pass
    for earlier in history.steps:
        match earlier.operation:
            case op.AlterTableOther(other, "replica identity", identity) if other == table:
                if identity not in ("default", "nothing"):
                    return True
            case _:
                pass
    return False
