"""EV247: a type, sequence, view or function in use gets another name."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.made import columns_in_use, new_function, new_sequence, new_type
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.steps import Step

_CALLED = ("RENAME FUNCTION", "RENAME PROCEDURE", "RENAME ROUTINE", "RENAME AGGREGATE")


class RenameObject(Rule):
    id = "EV247"
    name = "rename-object"
    severity = Severity.ERROR
    looks_at = (op.RenameType, op.RenameSequence, op.RenameView, op.RenameTable, op.Other)
    breaks_old_code = True
    breaks_new_code = True
    answered_by_gate = True
    peers = ("squawk:renaming-object",)
    why = "code that runs knows one of the two names; make the new one beside the old, and drop that later"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match _by_kind(step.operation, history):
            case op.RenameType(type=name, to=to) if not _taken(step, name, history):
                known = name in history.schema.enums or name in history.schema.domains
                unused = known and not columns_in_use(history, name)
                if not unused and not new_type(history, name):
                    yield self._found(step, "type", name, to)
            case op.RenameSequence(sequence=name, to=to) if not new_sequence(history, name):
                known_sequence = history.schema.sequences.get(name)
                owned = known_sequence is not None and known_sequence.owned_by is not None
                # The column's default follows; only code that names the sequence itself notices.
                severity = Severity.WARNING if owned else self.severity
                yield self._found(step, "sequence", name, to, severity=severity, relation=True)
            case op.RenameView(view=name, to=to, materialized=materialized):
                if history.in_use(name) and not _taken(step, name, history):
                    what = "materialized view" if materialized else "view"
                    yield self._found(step, what, name, to, relation=True, safe=_bridge(what, name, to))
            case op.Other(kind=kind, target=QualifiedName() as name, detail=to) if kind in _CALLED:
                if not new_function(history, name) and not _taken(step, name, history):
                    yield self._found(step, kind.removeprefix("RENAME ").lower(), name, to or "")
            case _:
                return

    def _found(
        self,
        step: Step,
        what: str,
        name: QualifiedName,
        to: str,
        *,
        severity: Severity | None = None,
        relation: bool = False,
        safe: tuple[str, ...] = (),
    ) -> Finding:
        return self.finding(
            step,
            f'the {what} "{name.plain}" becomes "{to}" at one instant, and no code knows both names',
            table=name if relation else None,
            lock=LockMode.ACCESS_EXCLUSIVE if relation else None,
            severity=severity,
            safe=safe,
        )


def _by_kind(operation: op.Operation, history: History) -> op.Operation:
    """ALTER TABLE renames views and sequences as well."""
    match operation:
        case op.RenameTable(table=name, to=to) if name in history.schema.sequences:
            return op.RenameSequence(name, to)
        case op.RenameTable(table=name, to=to) if name in history.schema.views:
            return op.RenameView(name, to, materialized=history.schema.views[name].materialized)
        case _:
            return operation


def _bridge(what: str, name: QualifiedName, to: str) -> tuple[str, ...]:
    rename = code.execute(f"ALTER {what.upper()} {name} RENAME TO {quote(to)}")
    return (f"{rename}\n{code.execute(f'CREATE VIEW {name} AS TABLE {QualifiedName(to, name.schema)}')}",)


def _taken(step: Step, name: QualifiedName, history: History) -> bool:
    """True where something takes the old name before the transaction ends, so that no instant lacks it."""
    return step.transaction is not None and any(
        _gives(later.operation) == name for later in history.later() if later.transaction == step.transaction
    )


def _gives(operation: op.Operation) -> QualifiedName | None:
    match operation:
        case op.CreateView(view=name) | op.CreateEnum(type=name) | op.CreateDomain(domain=name):
            return name
        case op.CreateFunction(function=name):
            return name
        case op.RenameType(type=old, to=to) | op.RenameView(view=old, to=to):
            return QualifiedName(to, old.schema)
        case op.Other(kind=kind, target=QualifiedName() as old, detail=str(to)) if kind in _CALLED:
            return QualifiedName(to, old.schema)
        case _:
            return None
