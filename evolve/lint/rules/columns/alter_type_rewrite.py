"""EV109: a change of type that writes the table anew."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import Effect, effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class AlterTypeRewrite(Rule):
    id = "EV109"
    name = "alter-type-rewrite"
    severity = Severity.ERROR
    looks_at = (op.AlterColumnType,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    breaks_old_code = True
    why = (
        "PostgreSQL converts every row and rebuilds every index under a lock that stops all reads and "
        "writes, and code that binds the old type may fail; a second column, kept equal and filled in the "
        "background, has neither cost"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterColumnType(table, column, new) if history.in_use(table):
                pass
            case _:
                return
        predicted = effect(step.operation, history.schema, history.postgres_version)
        if not predicted.rewrites:
            if predicted.scans:
                yield self._made_anew(step, table, column, predicted)
            return
        known = history.schema.column(table, column)
        old = f"from {known.type}" if known and known.type else "from a type that no revision tells"
        unless = ", unless the session's TimeZone is UTC" if predicted.only_if_not_utc else ""
        yield self.finding(
            step,
            f'changing "{table.plain}.{column}" {old} to {new} rewrites the table under {self.lock}{unless}',
            table=table,
        )

    def _made_anew(self, step: Step, table: QualifiedName, column: str, predicted: Effect) -> Finding:
        """The rows stay as they are; indexes and constraints over the column do not."""
        indexes = ", ".join(f'"{index.plain}"' for index in sorted(predicted.rebuilds, key=str))
        what = f"builds {indexes} anew" if indexes else "checks every row against its constraints again"
        return self.finding(
            step,
            f'changing the type of "{table.plain}.{column}" {what} under {self.lock}',
            table=table,
            rewrite=False,
            why="the rows stay, but PostgreSQL reads all of them under a lock that stops all reads and writes; "
            "an index dropped before and built concurrently after, or a check added again NOT VALID and then "
            "validated, lets traffic go on",
        )
