"""EV666: the last column of an enum type goes, and the type stays."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.sql.steps import Step


class EnumLeftBehind(Rule):
    id = "EV666"
    name = "enum-left-behind"
    severity = Severity.INFO
    looks_at = (op.DropTable, op.DropColumn)
    opt_in = True
    why = (
        "dropping a column or a table leaves its enum type; creating either again, as an upgrade after a downgrade "
        "does, fails because the type is there"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropTable(table=table):
                going = _columns(history.schema, table)
            case op.DropColumn(table=table, column=column):
                going = {(table, column)} & _columns(history.schema, table)
            case _:
                return
        dropped = {
            later.operation.type for later in history.later() if isinstance(later.operation, op.DropType)
        }
        for enum in history.schema.enums.keys() - dropped:
            using = {
                (name, column.name)
                for name, found in history.schema.tables.items()
                for column in found.columns
                if column.type in (str(enum), f"{enum}[]")
            }
            if using and using <= going:
                yield self.finding(
                    step,
                    f'no column is of type "{enum.plain}" any more, and the type stays',
                    fix=f'op.execute("DROP TYPE {enum}"), once no release reads it',
                )


def _columns(schema: Schema, table: QualifiedName) -> set[tuple[QualifiedName, str]]:
    found = schema.table(table)
    return {(table, column.name) for column in found.columns} if found else set()
