"""EV816: a foreign key whose only index leaves out rows."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import foreign_keys_left
from evolve.lint.rules.constraints.serving_index import partial_index, serving_index


class FkPartialIndex(Rule):
    id = "EV816"
    name = "fk-partial-index"
    severity = Severity.WARNING
    peers = ("eugene:E15",)
    why = (
        "PostgreSQL looks for every row that points at one which goes, so it cannot use an index that may lack some, "
        "and reads the whole table"
    )

    def finish(self, history: History) -> Iterator[Finding]:
        for step, table, key in foreign_keys_left(history):
            if not history.in_use(table) and key.on_delete is None:
                continue
            partial = partial_index(history.schema, table, key)
            if (
                partial is None
                or serving_index(history.schema, table, key)
                or partial.definition.where is None
            ):
                continue
            yield self.finding(
                step,
                f'"{partial.name.name}" leaves out rows of "{table.plain}" (WHERE {partial.definition.where.sql}), so '
                f'each row that goes from "{key.target.plain}" reads all of it',
                fix=f"index ({', '.join(key.columns)}) without WHERE, or WHERE … IS NOT NULL",
            )
