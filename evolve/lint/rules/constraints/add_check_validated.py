"""EV105: a CHECK that reads every row at once, on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.steps import Step


class AddCheckValidated(Rule):
    id = "EV105"
    name = "add-check-validated"
    severity = Severity.ERROR
    looks_at = (op.AddConstraint, op.AddColumn)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    breaks_old_code = True
    peers = (
        "squawk:constraint-missing-not-valid",
        "eugene:E1",
        "strong_migrations:add_check_constraint",
        "zdm:R017",
    )
    why = (
        "PostgreSQL reads every row under a lock that stops all reads and writes; NOT VALID is instant, and"
        " VALIDATE reads the rows while traffic goes on. Either way code that still writes such rows fails"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddConstraint(table, op.Check(not_valid=False) as check) if history.in_use(table):
                yield self._finding(step, table, check, ())
            case op.AddColumn(table, column) as add if history.adds(add):
                for constraint in column.constraints:
                    if isinstance(constraint, op.Check):
                        # The default, which the previous release's inserts leave in place, is checked with the rows.
                        alone = set(constraint.expression.columns) <= {column.name}
                        before = (code.add_column(table, column),)
                        yield self._finding(step, table, constraint, before, breaks=not alone)
            case _:
                return

    def _finding(
        self,
        step: Step,
        table: QualifiedName,
        check: op.Check,
        before: tuple[str, ...],
        *,
        breaks: bool = True,
    ) -> Finding:
        name = check.name or shorten(table.name, *check.expression.columns, "check")
        return self.finding(
            step,
            f'the check "{name}" reads every row of "{table.plain}" under {self.lock}',
            table=table,
            breaks_old_code=breaks,
            safe=(
                "\n".join((*before, code.add_check(table, name, check.expression.sql))),
                code.validate(table, name),
            ),
        )
