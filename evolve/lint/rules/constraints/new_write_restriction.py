"""EV231: from now on rows are refused that running code may still write."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.replay.indexes import index_columns
from evolve.sql.steps import Step


class NewWriteRestriction(Rule):
    id = "EV231"
    name = "new-write-restriction"
    severity = Severity.INFO
    peers = ("squawk:ban-new-write-restriction",)
    opt_in = True
    looks_at = (op.AddConstraint, op.CreateIndex, op.AlterDomain)
    breaks_old_code = True
    why = (
        "NOT VALID and CONCURRENTLY spare the table, not the writers: a release that still writes such rows fails from "
        "the moment this is applied, so the one that does not must be everywhere by then"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            # Those that are validated at once are EV105's and EV101's.
            case op.AddConstraint(table, op.Check(not_valid=True, enforced=True) as check):
                columns, what = check.expression.columns, f"rows that break {check.expression.sql}"
                if all(
                    history.proves_not_null(table, column) for column in check.expression.not_null_columns
                ):
                    columns = columns if set(columns) - set(check.expression.not_null_columns) else ()
            case op.AddConstraint(table, op.ForeignKey(enforced=True) as key):
                columns, what = key.columns, f'rows without their row in "{key.target.plain}"'
            case op.AddConstraint(table, op.NotNull(column=column, not_valid=True)):
                columns, what = (column,), f"nulls in {column}"
            case op.CreateIndex(op.IndexDefinition(table=table, unique=True) as index):
                columns, what = index_columns(index), "duplicates"
            case op.AlterDomain(domain, "add check" | "set not null") as altered:
                yield from self._domain(step, history, domain, altered.check)
                return
            case _:
                return
        if any(history.column_in_use(table, column) for column in columns):
            yield self.finding(step, f'"{table.plain}" refuses {what} from now on')

    def _domain(
        self, step: Step, history: History, domain: QualifiedName, check: op.Check | None
    ) -> Iterator[Finding]:
        for table in history.schema.tables.values():
            for column in table.columns:
                if column.type == str(domain) and history.column_in_use(table.name, column.name):
                    what = f"values that break {check.expression.sql}" if check is not None else "nulls"
                    yield self.finding(step, f'"{table.name.plain}.{column.name}" refuses {what} from now on')
                    return
