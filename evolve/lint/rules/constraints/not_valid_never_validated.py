"""EV818: a constraint is added NOT VALID, and the revisions after it do not validate it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class NotValidNeverValidated(Rule):
    id = "EV818"
    name = "not-valid-never-validated"
    severity = Severity.WARNING
    why = (
        "PostgreSQL takes nothing for granted that is NOT VALID: old rows may break the constraint, SET NOT NULL reads "
        "the table all the same, and queries are planned without it"
    )

    def finish(self, history: History) -> Iterator[Finding]:
        expected = {*_trailing(history), *history.planned}
        for step in history.steps:
            if step.revision in expected:
                continue
            match step.operation:
                case op.AddConstraint(table, (op.Check() | op.ForeignKey()) as added) if added.enforced:
                    left = _left(history, table, added)
                case op.AddConstraint(table, op.NotNull() as added):
                    left = _left(history, table, added)
                case _:
                    continue
            if left is not None:
                yield self._finding(step, table, left)

    def _finding(self, step: Step, table: QualifiedName, name: str) -> Finding:
        return self.finding(
            step,
            f'"{name}" of "{table.plain}" is NOT VALID, and no later revision validates it',
            fix=f"add a revision: {code.validate(table, name)}",
        )


def _trailing(history: History) -> Iterator[str]:
    """The revisions at the end that add constraints NOT VALID: the VALIDATE of these comes with a later release."""
    adding = {step.revision for step in history.steps if _adds_not_valid(step.operation)}
    for revision in dict.fromkeys(step.revision for step in reversed(history.steps)):
        if revision not in adding:
            return
        yield revision


def _adds_not_valid(operation: op.Operation) -> bool:
    match operation:
        case op.AddConstraint(constraint=op.Check() | op.ForeignKey() | op.NotNull() as constraint):
            return constraint.not_valid
        case _:
            return False


def _left(history: History, table: QualifiedName, added: op.Check | op.ForeignKey | op.NotNull) -> str | None:
    """The name of the constraint where it is still there and still not valid."""
    found = history.schema.table(table)
    if not added.not_valid or found is None or not history.in_use(table):
        return None
    for constraint in found.constraints:
        match constraint:
            case op.Check(name=str(name), not_valid=True) | op.NotNull(name=str(name), not_valid=True):
                if type(constraint) is type(added) and (added.name == name or _same(constraint, added)):
                    return name
            case op.ForeignKey(name=str(name), not_valid=True) if isinstance(added, op.ForeignKey):
                if added.name == name or (added.name is None and constraint.columns == added.columns):
                    return name
            case _:
                pass
    return None


def _same(one: op.Check | op.NotNull, other: op.Check | op.ForeignKey | op.NotNull) -> bool:
    match one, other:
        case op.Check(expression=expression), op.Check(expression=added, name=None):
            return expression == added
        case op.NotNull(column=column), op.NotNull(column=added_column, name=None):
            return column == added_column
        case _:
            return False
