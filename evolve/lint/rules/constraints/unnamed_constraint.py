"""EV624: a constraint whose name PostgreSQL makes up."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.sql import operations as op
from evolve.sql.steps import Step


class UnnamedConstraint(Rule):
    id = "EV624"
    name = "unnamed-constraint"
    severity = Severity.INFO
    opt_in = True
    looks_at = LOOKS_AT
    why = (
        "op.drop_constraint needs a name: the downgrade that Alembic writes for an unnamed one raises, and a later "
        "revision must guess what PostgreSQL called it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, constraint in added(step.operation, history):
            match constraint:
                case op.Unique(name=None):
                    kind = "a UNIQUE constraint"
                case op.Check(name=None):
                    kind = "a CHECK constraint"
                case op.ForeignKey(name=None):
                    kind = "a foreign key"
                case op.Exclude(name=None):
                    kind = "an EXCLUDE constraint"
                case op.PrimaryKey(name=None) if isinstance(step.operation, op.AddConstraint):
                    kind = "a primary key"
                case _:
                    continue
            yield self.finding(
                step,
                f'{kind} of "{table.plain}" has no name',
                fix="give it a name, or set naming_convention on the models' MetaData",
            )
            return  # once a statement: CREATE TABLE may have many
