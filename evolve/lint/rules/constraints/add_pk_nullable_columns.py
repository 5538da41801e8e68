"""EV133: PRIMARY KEY USING INDEX over columns that nothing has proven free of nulls."""

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


class AddPkNullableColumns(Rule):
    id = "EV133"
    name = "add-pk-nullable-columns"
    severity = Severity.WARNING
    looks_at = (op.AddConstraint,)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    breaks_old_code = True
    peers = ("eugene:W14",)
    why = (
        "a primary key makes its columns NOT NULL, and without a proof PostgreSQL reads every row for that under a "
        "lock that stops all reads and writes, although the index is there"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddConstraint(table, op.PrimaryKey(using_index=str(name))) if history.in_use(table):
                index = history.schema.indexes.get(QualifiedName(name, table.schema))
            case _:
                return
        columns = [column for column in index.definition.columns if column] if index is not None else []
        unproven = tuple(column for column in columns if not history.proves_not_null(table, column))
        if not unproven:
            return
        listed = ", ".join(unproven)
        alone = len(history.clauses) == 1
        yield self.finding(
            step,
            f'the primary key makes {listed} of "{table.plain}" NOT NULL and reads every row for it under {self.lock}',
            table=table,
            safe=(*code.prove_not_null(table, unproven), code.execute(step.sql)) if alone else (),
        )
