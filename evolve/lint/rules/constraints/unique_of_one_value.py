"""EV686: what shall be unique is the same in every row that is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evolve.lint.certain import certain
from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Mark, Step
from evolve.sql.volatility import volatile_functions

# What may give the rows values of their own meanwhile.
_WRITES = (op.Update, op.Delete, op.Truncate, op.AlterColumnType, op.DoBlock, op.Query, op.Unread)


class UniqueOfOneValue(Rule):
    id = "EV686"
    name = "unique-of-one-value"
    severity = Severity.ERROR
    looks_at = (op.AddColumn, op.AddConstraint, op.CreateIndex)
    fails = True
    breaks_old_code = True
    why = (
        "a new column with a default has the same value in every row that is there, so that its unique index cannot be "
        "built where there are two, and code that does not know the column inserts that value again; without a default "
        "they are null, which is no duplicate"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, columns in _unique(step.operation):
            defaults = [_one_value(table, column, history) for column in columns]
            if history.in_use(table) and columns and all(defaults) and certain(step, history):
                yield self.finding(
                    step,
                    f'every row of "{table.plain}" has the same {listed(columns)}, so that it cannot be unique',
                    fix="add the column without a default, fill it with values that differ, and make it unique then",
                )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        refused = ("add-unique-building-index", "create-index-blocking")
        return refused if any(self.check(step, history)) else ()


def _unique(operation: op.Operation) -> Iterator[tuple[QualifiedName, Sequence[str]]]:
    """The columns of each unique index that is built."""
    match operation:
        case op.AddColumn(table, column):
            for constraint in column.constraints:
                if isinstance(constraint, op.Unique | op.PrimaryKey):
                    yield table, (column.name,)
        case op.AddConstraint(
            table, op.Unique(columns, using_index=None) | op.PrimaryKey(columns, using_index=None)
        ):
            yield table, columns
        case op.CreateIndex(op.IndexDefinition(table=table, unique=True, where=None) as index):
            names = [column for column in index.columns if column is not None]
            if len(names) == len(index.columns):
                yield table, names
        case _:
            return


def _one_value(table: QualifiedName, column: str, history: History) -> bool:
    """True where this revision adds the column with one value for all rows, and nothing in it may change that."""
    if any(remark.mark is Mark.READ_ROWS for remark in history.remarks):
        return False
    earlier = [step.operation for step in history.revision[: history.position]]
    for operation in reversed((*earlier, *history.clauses)):
        match operation:
            case op.AddColumn(altered, added, if_not_exists=False) if (altered, added.name) == (
                table,
                column,
            ):
                return _fills(added, history)
            case _ if isinstance(operation, _WRITES):
                return False
            case _:
                pass
    return False


def _fills(column: op.ColumnDefinition, history: History) -> bool:
    default = column.default
    return (
        default is not None
        and default.sql.upper() != "NULL"
        and not volatile_functions(default, history.schema.functions)
    )
