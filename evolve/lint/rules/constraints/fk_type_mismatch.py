"""EV817: a foreign key between columns of two types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.lint.rules.constraints.target import target_columns
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.sql.steps import Step
from evolve.sql.types import base

_WIDTHS = ("smallint", "integer", "bigint")
_WHOLE = frozenset(_WIDTHS)
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

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        refused = any(finding.fails for finding in self.check(step, history))
        return (*WHERE_REFUSED, "fk-target-not-unique") if refused else ()

    def _key(
        self, step: Step, history: History, table: QualifiedName, key: op.ForeignKey
    ) -> Iterator[Finding]:
        own = _types(step, history, table)
        target = _types(step, history, key.target)
        pointed_at = target_columns(key, history)
        if len(pointed_at) != len(key.columns):
            if certain(step, history):
                yield self.finding(
                    step,
                    f'{_counted(key.columns)} of "{table.plain}" cannot point at {_counted(pointed_at)} of '
                    f'"{key.target.plain}": PostgreSQL refuses',
                    fails=True,
                    severity=Severity.ERROR,
                )
            return
        for column, to in zip(key.columns, pointed_at, strict=True):
            one, other = own.get(column), target.get(to)
            if one is None or other is None or one == other or {one, other} <= {"text", "character varying"}:
                continue
            if _wider(one, other):
                continue
            fails = _refused(one, other, history.schema)
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is {one} and points at "{key.target.plain}.{to}", which is {other}'
                + (": PostgreSQL refuses" if fails else ""),
                fails=fails,
                severity=Severity.ERROR if fails else None,
                fix=f"make the column {other}",
            )


def _wider(one: str, other: str) -> bool:
    """A whole number that holds all that it points at: indexes serve both, and the target runs full first."""
    return {one, other} <= _WHOLE and _WIDTHS.index(one) > _WIDTHS.index(other)


def _types(step: Step, history: History, table: QualifiedName) -> Mapping[str, str]:
    """Types without their modifiers, arrays with their brackets; a domain stands for its base. Columns whose type is
    not known are left out.
    """
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
        spelled = domain.base if domain is not None else spelled
        plain[name] = base(spelled) + ("[]" if spelled.endswith("[]") else "")
    return {name: spelled for name, spelled in plain.items() if spelled}


def _counted(columns: Sequence[str]) -> str:
    kind = "column" if len(columns) == 1 else "columns"
    return f"{len(columns)} {kind} ({', '.join(columns)})"


def _refused(one: str, other: str, schema: Schema) -> bool:
    """No operator compares the two, as far as that is known: measured on 15."""
    family, target = _family(one, schema), _family(other, schema)
    if family is None or target is None:
        return False
    if one.endswith("[]") or other.endswith("[]"):
        return not (one.endswith("[]") and other.endswith("[]")) or family != target
    if family == target:
        return False
    # What converts by itself to the target's type is compared there.
    widens = (family is _WHOLE and (other == "numeric" or target is _FLOAT)) or (
        one == "numeric" and target is _FLOAT
    )
    return not widens


def _family(name: str, schema: Schema) -> frozenset[str] | None:
    """The types that it is compared with; an enum is one of its own."""
    bare = base(name)
    if schema.is_enum(bare):
        return frozenset({bare})
    return next((family for family in _FAMILIES if bare in family), None)
