"""EV453: a sequence is set back under numbers that rows have already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.sql.steps import Step

Column = tuple[QualifiedName, str]


class SequenceGoesBack(Rule):
    id = "EV453"
    name = "sequence-goes-back"
    severity = Severity.ERROR
    looks_at = (op.AlterSequence, op.AlterTableOther, op.Query)
    breaks_old_code = True
    breaks_new_code = True
    why = (
        "the sequence gives numbers again that rows have: each INSERT fails as a duplicate until it has passed them, "
        "or, where nothing makes them unique, two rows have one number"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for column, start in _set_back(step.operation, history.schema):
            table, name = column
            if not history.in_use(table) or _emptied(table, history.revision[: history.position]):
                continue
            yield self.finding(
                step,
                f'the sequence of "{table.plain}.{name}" starts at {start} again, while rows have its numbers'
                if start == "its beginning"
                else f'the sequence of "{table.plain}.{name}" goes on from {start}, whatever numbers rows have',
                severity=None if start == "its beginning" else Severity.WARNING,
                fix="count on from the highest number, as the safe form of the page does: setval(…, max(…))",
            )


def _set_back(operation: op.Operation, schema: Schema) -> Iterator[tuple[Column, str]]:
    """Columns whose sequence is given a number that no row was asked for, and that number in words."""
    match operation:
        case op.AlterSequence(sequence=sequence, restart=restart) if restart is not None:
            for column in _owners(schema, sequence):
                yield column, _start(restart)
        case op.AlterTableOther(table=table, detail=str(column), settings=settings) if "restart" in dict(
            settings
        ):
            given = dict(settings)["restart"]
            yield (table, column), _start(int(given) if given.lstrip("-").isdigit() else "start")
        case op.Query(set_to=set_to):
            for named, restart in set_to:
                columns = [named] if isinstance(named, tuple) else _owners(schema, named)
                for column in columns:
                    yield column, _start(restart)
        case _:
            return


def _start(restart: int | str) -> str:
    return str(restart) if isinstance(restart, int) and restart > 1 else "its beginning"


def _owners(schema: Schema, sequence: QualifiedName) -> list[Column]:
    found = schema.sequences.get(sequence)
    return [found.owned_by] if found is not None and found.owned_by is not None else []


def _emptied(table: QualifiedName, earlier: Sequence[Step]) -> bool:
    """True where the revision has taken every row away before."""
    for step in earlier:
        match step.operation:
            case op.Truncate(tables=tables) if table in tables:
                return True
            case op.Delete(table=deleted, where=False) if deleted == table:
                return True
            case _:
                pass
    return False
