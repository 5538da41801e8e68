"""EV203: `RENAME TABLE` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.schema import Schema
from evolve.sql.steps import Step


class RenameTable(Rule):
    id = "EV203"
    name = "rename-table"
    severity = Severity.ERROR
    peers = ("squawk:renaming-table", "strong_migrations:rename_table", "zdm:R019")
    looks_at = (op.RenameTable,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    breaks_new_code = True
    answered_by_gate = True
    why = (
        "code that runs knows one of the two names; a view under the old name, made in the same "
        "transaction, serves both"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.RenameTable(table, if_exists=True) if history.schema.lacks(table):
                return
            case op.RenameTable(table, to) if (
                history.in_use(table)
                and not _is_other(table, history.schema)
                and not _bridged(step, table, to, history)
            ):
                rename = f"op.rename_table({code.string(table.name)}, {code.string(to)}{code.schema(table)})"
                bridge = code.execute(f"CREATE VIEW {table} AS TABLE {QualifiedName(to, table.schema)}")
                yield self.finding(
                    step,
                    f'"{table.plain}" becomes "{to}" at one instant, and no code knows both names',
                    table=table,
                    safe=(f"{rename}\n{bridge}",),
                    fix=command.plan_table("rename-table", table, quote(to)),
                )
            case _:
                return


def _is_other(name: QualifiedName, schema: Schema) -> bool:
    """No code knows the name of an index; those of views and sequences have a rule of their own."""
    return name in schema.indexes or name in schema.views or name in schema.sequences


def _bridged(step: Step, table: QualifiedName, to: str, history: History) -> bool:
    """True where no instant lacks either name: a view or another table takes the old name before the
    transaction ends, or the new name was given up in it, as when two tables are swapped.
    """
    if step.transaction is None:
        return False
    taken = any(
        _gives(later.operation) == table for later in history.later() if later.transaction == step.transaction
    )
    vacated = any(
        isinstance(earlier.operation, op.RenameTable)
        and earlier.operation.table == QualifiedName(to, table.schema)
        for earlier in history.steps
        if earlier.transaction == step.transaction
    )
    return taken or vacated


def _gives(operation: op.Operation) -> QualifiedName | None:
    """The name that a relation gets."""
    match operation:
        case op.CreateView(view=name) | op.CreateTable(table=name):
            return name
        case op.RenameTable(table=table, to=to) | op.RenameView(view=table, to=to):
            return QualifiedName(to, table.schema)
        case _:
            return None
