"""EV615: a column is changed in words that the oldest server does not know."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class NeedsNewerPostgres(Rule):
    id = "EV615"
    name = "needs-newer-postgres"
    severity = Severity.ERROR
    looks_at = (op.AddConstraint, op.AddColumn, op.CreateTable, op.SetExpression)
    fails = True
    why = (
        "an older server refuses the statement as a syntax error. The oldest that the revisions must run on is "
        "postgres_version of [tool.evolve.lint], or --pg-version"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        words, since = needs(step.operation)
        if history.postgres_version >= since:
            return
        yield self.finding(
            step,
            f"{words} exists from PostgreSQL {since} on, and this has to run on {history.postgres_version}",
            fix=_fix(step.operation),
        )


def needs(operation: op.Operation) -> tuple[str, int]:
    """What the operation says that is new in some major version, and that version; 0 where it says nothing new."""
    match operation:
        case op.AddConstraint(constraint=op.NotNull()):
            return "NOT NULL as a constraint of its own", 18
        case op.AddColumn(column=op.ColumnDefinition(generated="virtual")):
            return "a VIRTUAL column", 18
        case op.CreateTable(columns=columns) if any(column.generated == "virtual" for column in columns):
            return "a VIRTUAL column", 18
        case op.SetExpression():
            return "SET EXPRESSION", 17
        case _:
            return "", 0


def _fix(operation: op.Operation) -> str | None:
    match operation:
        case op.AddConstraint(table, op.NotNull(column=column)):
            return command.plan("set-not-null", table, column)
        case _:
            return None
