"""EV248: `SET SCHEMA` on something in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.made import new_function, new_sequence, new_type
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.steps import Step

_SERVED_BY_A_VIEW = ("table", "view", "materialized view")


class SetSchema(Rule):
    id = "EV248"
    name = "set-schema"
    severity = Severity.ERROR
    looks_at = (op.MoveToSchema,)
    breaks_old_code = True
    breaks_new_code = True
    answered_by_gate = True
    peers = ("squawk:ban-set-schema",)
    why = (
        "code that runs looks for it where it was, unless its search_path names both schemas; a view in the old "
        "place, made in the same transaction, serves both"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.MoveToSchema(kind=kind, name=name, to_schema=to):
                if _is_new(history, kind, name) or _bridged(step, name, history):
                    return
                relation = kind in _SERVED_BY_A_VIEW
                move = code.execute(f"ALTER {kind.upper()} {name} SET SCHEMA {quote(to)}")
                bridge = code.execute(f"CREATE VIEW {name} AS TABLE {QualifiedName(name.name, to)}")
                yield self.finding(
                    step,
                    f'the {kind} "{name.plain}" moves to the schema "{to}" at one instant',
                    table=name if relation else None,
                    lock=LockMode.ACCESS_EXCLUSIVE if relation else None,
                    safe=(f"{move}\n{bridge}",) if relation else (),
                )
            case _:
                return


def _is_new(history: History, kind: str, name: QualifiedName) -> bool:
    match kind:
        case "table" | "view" | "materialized view" | "foreign table":
            return not history.in_use(name)
        case "type" | "domain":
            return new_type(history, name)
        case "sequence":
            return new_sequence(history, name)
        case _:
            return new_function(history, name)


def _bridged(step: Step, name: QualifiedName, history: History) -> bool:
    return step.transaction is not None and any(
        isinstance(later.operation, op.CreateView | op.CreateTable)
        and name == _made(later.operation)
        and later.transaction == step.transaction
        for later in history.later()
    )


def _made(operation: op.CreateView | op.CreateTable) -> QualifiedName:
    return operation.view if isinstance(operation, op.CreateView) else operation.table
