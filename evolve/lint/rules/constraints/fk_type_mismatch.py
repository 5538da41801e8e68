"""EV817: a foreign key between columns of two types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.lint.rules.constraints.target import target_columns
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step
from evolve.sql.types import base

_WHOLE = frozenset({"smallint", "integer", "bigint"})
_TEXT = frozenset({"text", "character varying", "character"})
_TIME = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})
_FLOAT = frozenset({"real", "double precision"})
_ALONE = tuple(
    frozenset({name}) for name in ("uuid", "boolean", "numeric", "bytea", "jsonb", "inet", "interval")
)
_FAMILIES = (_WHOLE, _TEXT, _TIME, _FLOAT, *_ALONE)


class FkTypeMismatch(Rule):
    id = "EV817"
    name = "fk-type-mismatch"
    severity = Severity.WARNING
    looks_at = LOOKS_AT
    why = (
        "every lookup and every join converts one of the two, which can keep an index out of use, and the narrower "
        "column runs full first: an integer cannot point at a bigint key past 2147483647"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, constraint in added(step.operation, history):
            if isinstance(constraint, op.ForeignKey):
                yield from self._key(step, history, table, constraint)

    def _key(
        self, step: Step, history: History, table: QualifiedName, key: op.ForeignKey
    ) -> Iterator[Finding]:
        own = _types(step, history, table)
        target = _types(step, history, key.target)
        pointed_at = target_columns(key, history)
        if len(pointed_at) != len(key.columns):
            return
        for column, to in zip(key.columns, pointed_at, strict=True):
            one, other = own.get(column), target.get(to)
            if one is None or other is None or one == other or {one, other} <= {"text", "character varying"}:
                continue
            fails = _refused(one, other)
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is {one} and points at "{key.target.plain}.{to}", which is {other}'
                + (": PostgreSQL refuses" if fails else ""),
                fails=fails,
                severity=Severity.ERROR if fails else None,
                fix=f"make the column {other}",
            )


def _types(step: Step, history: History, table: QualifiedName) -> Mapping[str, str]:
    """Types without their modifiers; a domain stands for its base. Columns whose type is not known are left out."""
    found = history.schema.table(table)
    types = {column.name: column.type for column in found.columns} if found is not None else {}
    match step.operation:
        case op.CreateTable(created, columns) if created == table:
            types |= {column.name: column.type for column in columns}
        case op.AddColumn(altered, column) if altered == table:
            types[column.name] = column.type
        case _:
            pass
    for clause in history.clauses:
        if isinstance(clause, op.AlterColumnType) and clause.table == table:
            types.pop(clause.column, None)
    plain = {}
    for name, spelled in types.items():
        domain = history.schema.domain(spelled)
        plain[name] = base(domain.base if domain is not None else spelled)
    return {name: spelled for name, spelled in plain.items() if spelled}


def _refused(one: str, other: str) -> bool:
    """No operator compares the two, as far as that is known: measured on 15."""
    family, target = _family(one), _family(other)
    if family is None or target is None or family is target:
        return False
    # What converts by itself to the target's type is compared there.
    widens = (family is _WHOLE and (other == "numeric" or target is _FLOAT)) or (
        one == "numeric" and target is _FLOAT
    )
    return not widens


def _family(name: str) -> frozenset[str] | None:
    return next((family for family in _FAMILIES if name in family), None)
