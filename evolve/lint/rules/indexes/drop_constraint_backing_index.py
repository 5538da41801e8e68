"""EV620: `DROP INDEX` of one that a constraint or the index of a partitioned table needs."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.replay.drops import foreign_keys_on
from evolve.sql.steps import Step


class DropConstraintBackingIndex(Rule):
    id = "EV620"
    name = "drop-constraint-backing-index"
    severity = Severity.ERROR
    looks_at = (op.DropIndex,)
    fails = True
    why = "PostgreSQL refuses to drop an index that something else is made of, also with CASCADE and with IF EXISTS"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropIndex(name):
                index = history.schema.indexes.get(name)
            case _:
                return
        if index is None:
            return
        table = index.definition.table
        if index.partition_of is not None:
            yield self.finding(
                step,
                f'index "{name.plain}" is a part of "{index.partition_of.plain}", so DROP INDEX fails',
                fix=f"drop {index.partition_of}, and with it the parts on all partitions",
            )
        elif index.constraint is not None:
            yield self.finding(
                step,
                f'index "{name.plain}" backs "{index.constraint}", a constraint of "{table.plain}": DROP INDEX fails',
                fix=code.drop_constraint(table, index.constraint),
            )
        elif not step.operation.cascade:
            for other, key in foreign_keys_on(history.schema, index)[:1]:
                yield self.finding(
                    step,
                    f'the foreign key "{key.name}" of "{other.name.plain}" needs "{name.plain}": DROP INDEX fails',
                    fix="make a unique constraint over the same columns and the foreign key anew on it, first",
                )
