"""EV642: rows are given numbers by hand that their sequence will give again."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Column, Schema
from evolve.sql.steps import Step


class SequenceNotReset(Rule):
    id = "EV642"
    name = "sequence-not-reset"
    severity = Severity.WARNING
    why = (
        "a sequence does not notice numbers that are given by hand: it counts on from where it was, and an INSERT "
        "fails as a duplicate once for each of them"
    )

    def finish(self, history: History) -> Iterator[Finding]:
        filled: dict[tuple[QualifiedName, str], Step] = {}
        for step in history.steps:
            match step.operation:
                case op.Insert(table=table, columns=columns, greatest=greatest):
                    for column in columns:
                        # Unless it was told otherwise a sequence begins at 1.
                        reached = dict(greatest).get(column, 1) >= 1
                        if reached and _counts(history.schema.column(table, column)):
                            filled.setdefault((table, column), step)
                case op.Query(functions=functions, literals=literals) if "setval" in functions:
                    named = {text.rpartition(".")[2].strip('"') for text in literals}
                    for table, column in list(filled):
                        if _is_about(named, history.schema, table, column):
                            del filled[table, column]
                case op.AlterSequence() | op.AlterTableOther(clause="set sequence options"):
                    filled.clear()  # RESTART, of whichever: the text is not read for it
                case _:
                    pass
        for (table, column), step in filled.items():
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is filled by hand, and its sequence is not told',
                fix=f"set it to the highest: SELECT setval(pg_get_serial_sequence('{table}', '{column}'), …)",
            )


def _counts(column: Column | None) -> bool:
    if column is None:
        return False
    drawn = column.default is not None and "nextval" in column.default.functions
    return column.identity is not None or drawn


def _is_about(named: set[str], schema: Schema, table: QualifiedName, column: str) -> bool:
    """A setval that names the table or its sequence; one that names nothing counts for all."""
    own = {s.name.name for s in schema.sequences.values() if s.owned_by == (table, column)}
    return not named or bool(named & {table.name, *own})
