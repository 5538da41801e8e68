"""EV738: a table that is named without its schema."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.parse import tokens
from evolve.sql.steps import Step

_SKIPPED = frozenset({"SQL_COMMENT", "C_COMMENT", "IF_P", "NOT", "EXISTS", "ONLY"})


class NameWithoutSchema(Rule):
    id = "EV738"
    name = "name-without-schema"
    severity = Severity.INFO
    looks_at = (op.CreateTable, op.DropTable, op.RenameTable, op.AddColumn, op.DropColumn, op.AddConstraint)
    opt_in = True
    peers = ("squawk:require-table-schema",)
    why = "the search_path of whoever runs the revision decides which table is meant"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if history.clauses and history.clauses[0] is not step.operation:
            return
        words = [kind for kind, _, _ in tokens(step.sql) if kind not in _SKIPPED]
        at = words.index("TABLE") if "TABLE" in words[:4] else -1
        if at >= 0 and words[at + 2 : at + 3] != ["ASCII_46"]:
            yield self.finding(
                step, "the table is named without its schema", fix='schema="public", or another'
            )
