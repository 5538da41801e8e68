"""EV151: a constraint of a domain that reads every table with a column of it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.made import columns_in_use, new_type
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.names import QualifiedName, quote
from evolve.sql.steps import Step


class DomainAddConstraint(Rule):
    id = "EV151"
    name = "domain-add-constraint"
    severity = Severity.ERROR
    looks_at = (op.AlterDomain,)
    scan = True
    peers = ("squawk:ban-alter-domain-with-add-constraint",)
    why = (
        "every table that has a column of the domain is read while nobody can write to it, one after another, and "
        "all of them stay locked to the end; NOT VALID keeps new values right and reads nothing"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterDomain(domain=domain, change=change) as operation:
                done = effect(operation, history.schema, history.postgres_version)
                held = {table: mode for table, mode in done.locks.items() if history.in_use(table)}
                blocked = [table for table, mode in held.items() if mode.blocks_writes]
                if blocked:
                    names = sorted({table.plain for table in blocked})
                    yield self.finding(
                        step,
                        f'{_words(change)} of "{domain.plain}" reads {listed(names)}, and nobody can write there',
                        table=blocked[0],
                        lock=held[blocked[0]],
                        breaks_old_code=change != "validate constraint",  # NOT VALID refuses writers already
                        safe=_safe(operation),
                    )
                elif _scans(operation) and _unknown(history, domain):
                    yield self.finding(
                        step,
                        f'{_words(change)} of "{domain.plain}" reads every table that has a column of it',
                    )
            case _:
                return


def _words(change: str) -> str:
    return {"add check": "a new CHECK", "set not null": "SET NOT NULL"}.get(change, "VALIDATE CONSTRAINT")


def _scans(operation: op.AlterDomain) -> bool:
    added = operation.change == "add check" and operation.check is not None and not operation.check.not_valid
    return added or operation.change in ("set not null", "validate constraint")


def _unknown(history: History, domain: QualifiedName) -> bool:
    known = domain in history.schema.domains
    return not known and not columns_in_use(history, domain) and not new_type(history, domain)


def _safe(operation: op.AlterDomain) -> tuple[str, ...]:
    domain = operation.domain
    if operation.change == "validate constraint":
        return ()
    condition = "VALUE IS NOT NULL" if operation.check is None else operation.check.expression.sql
    suffix = "not_null" if operation.check is None else "check"
    name = operation.constraint or f"{domain.name}_{suffix}"
    # VALIDATE is no part of it: unlike that of a table's constraint, it takes the same lock.
    return (
        code.execute(f"ALTER DOMAIN {domain} ADD CONSTRAINT {quote(name)} CHECK ({condition}) NOT VALID"),
    )
