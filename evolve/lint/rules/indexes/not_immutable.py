"""EV683: an index or a generated column over a function whose value depends on more than its arguments."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

# Of those in pg_catalog, the common ones that are IMMUTABLE for no type of argument.
_NEVER_IMMUTABLE = frozenset(
    """
    array_to_string clock_timestamp concat concat_ws current_date current_time current_timestamp current_user format
    gen_random_uuid localtime localtimestamp now random session_user statement_timestamp timeofday to_char to_date
    to_json to_jsonb to_timestamp transaction_timestamp
    """.split()  # noqa: SIM905 - a list of quoted words is no easier to read
)


class NotImmutable(Rule):
    id = "EV683"
    name = "not-immutable"
    severity = Severity.ERROR
    looks_at = (op.CreateIndex, op.AddColumn, op.CreateTable)
    fails = True
    why = (
        "what an index or a generated column keeps has to stay true without being computed again, so PostgreSQL takes "
        "only IMMUTABLE functions there: not those that look at the clock, the time zone or another setting"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for what, expression in _kept(step.operation):
            wrong = [name for name in expression.functions if name in _NEVER_IMMUTABLE]
            if wrong and certain(step, history):
                yield self.finding(step, f"{what} calls {listed(wrong)}, which is not IMMUTABLE")

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return (*WHERE_REFUSED, "add-column-generated-stored") if any(self.check(step, history)) else ()


def _kept(operation: op.Operation) -> Iterator[tuple[str, op.Expression]]:
    match operation:
        case op.CreateIndex(index=index):
            name = f'"{index.name}"' if index.name else "the index"
            for key in index.keys:
                if key.expression is not None:
                    yield name, key.expression
            if index.where is not None:
                yield f"the WHERE of {name}", index.where
        case op.AddColumn(column=column):
            if column.generation is not None:
                yield f'the generated column "{column.name}"', column.generation
        case op.CreateTable(columns=columns):
            for column in columns:
                if column.generation is not None:
                    yield f'the generated column "{column.name}"', column.generation
        case _:
            return
