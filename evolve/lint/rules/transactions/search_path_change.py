"""EV266: the search path is changed, so that names mean other tables."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class SearchPathChange(Rule):
    id = "EV266"
    name = "search-path-change"
    severity = Severity.WARNING
    looks_at = (op.SetParameter, op.Query, op.Other)
    why = "a name without a schema means another table from here on, and alembic_version is such a name"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other("ALTER ROLE SET" | "ALTER DATABASE SET", _, "search_path"):
                yield self.finding(
                    step,
                    "every new connection finds other tables under names without a schema, running code among them",
                    why="connections that are open keep the old path, so that one release works with both for a while",
                    breaks_old_code=True,
                    fix="write the schema into the models (MetaData(schema=…)) before the path changes",
                )
            case operation if _sets(operation) and not any(
                _touches(later.operation) for later in history.later()
            ):
                yield self.finding(
                    step,
                    "the search path stays changed for what Alembic does after this revision",
                    fix="write schemas into the statements, schema=…, or set the path in env.py",
                )
            case _:
                return


def _touches(operation: op.Operation) -> bool:
    match operation:
        case op.SetParameter(name="search_path" | "all"):
            return True
        case op.Query(functions=functions, literals=literals):
            return "set_config" in functions and "search_path" in literals
        case _:
            return False


def _sets(operation: op.Operation) -> bool:
    """True where the new path does not begin in `public`."""
    match operation:
        case op.SetParameter(name="search_path", value=str(value)):
            return value.split(",")[0].strip().strip('"') not in ("public", "$user")
        case op.Query():
            return _touches(operation) and "public" not in operation.literals
        case _:
            return False
