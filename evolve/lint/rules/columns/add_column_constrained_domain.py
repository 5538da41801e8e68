"""EV114: a new column of a domain that has a CHECK or NOT NULL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.parse import rename_in_expression
from evolve.sql.schema import Domain
from evolve.sql.steps import Step
from evolve.sql.volatility import volatile_functions


class AddColumnConstrainedDomain(Rule):
    id = "EV114"
    name = "add-column-constrained-domain"
    severity = Severity.ERROR
    peers = ("squawk:ban-create-domain-with-constraint",)
    looks_at = (op.AddColumn,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "PostgreSQL checks the domain in every row and writes the whole table and all its indexes anew under a "
        "lock that stops all reads and writes, even where the column is nullable and has no default; the "
        "domain's own type with the same CHECK, added NOT VALID and then validated, costs neither"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table, column) as add if history.adds(add):
                pass
            case _:
                return
        domain = history.schema.domain(column.type)
        if domain is None or not domain.constrained or column.generated:
            return
        default = column.default or domain.default
        fails = domain.not_null and default is None
        yield self.finding(
            step,
            f'"{table.plain}.{column.name}" has no value for the rows that are there, and the domain '
            f'"{domain.name.plain}" allows no null'
            if fails
            else f'adding "{table.plain}.{column.name}" rewrites the table under {self.lock}: the domain '
            f'"{domain.name.plain}" is checked for every row',
            table=table,
            fails=fails,
            breaks_old_code=fails,
            safe=_safe(table, replace(column, default=default), domain, history),
        )


def _safe(
    table: QualifiedName, column: op.ColumnDefinition, domain: Domain, history: History
) -> tuple[str, ...]:
    """The domain's type with its conditions, which old rows meet later; a backfill is for what is null."""
    required = (column.not_null or domain.not_null) and column.default is not None
    plain = replace(column, type=domain.base, not_null=required, constraints=())
    if column.default is not None and volatile_functions(column.default, history.schema.functions):
        add = [code.add_column(table, plain), code.set_default(table, column.name, column.default.sql)]
    else:
        add = [
            code.add_column_with_default(table, plain) if column.default else code.add_column(table, plain)
        ]
    names: list[str] = []
    for check in domain.checks:
        condition = rename_in_expression(check.expression, column=("value", column.name))
        names.append(shorten(table.name, column.name, check.name or "check"))
        add.append(code.add_check(table, names[-1], condition.sql))
    validate = "\n".join(code.validate(table, name) for name in names)
    return ("\n".join(add), *((validate,) if validate else ()))
