"""Whether the schema tells for certain what a step meets when it runs."""

from __future__ import annotations

import re

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.parse import parse
from evolve.sql.steps import Step

# Rules that tell what a statement costs or breaks once it runs; one that is refused does neither.
WHERE_REFUSED = (
    "set-not-null-scan",
    "create-index-blocking",
    "add-fk-validated",
    "add-check-validated",
    "add-unique-building-index",
    "add-column-volatile-default",
    "add-column-required",
    "alter-type-rewrite",
    "alter-type-narrowing",
    "alter-type-scan-only",
    "alter-type-index-rebuild",
    "rename-column",
    "rename-table",
    "drop-column",
    "drop-table",
    "drop-view",
    "drop-constraint",
    "enum-add-value",
    "enum-rename-value",
    "fk-missing-index",
    "index-redundant",
    "add-pk-nullable-columns",
    "drop-pk-replica-identity",
    "set-unlogged",
)


# What stands in the text of a statement for a value that only the application knows.
_STANDS_IN = re.compile(r"\bstub(?:_\w+)?\b")


def certain(step: Step, history: History) -> bool:
    """False in a DO block or a function, which may ask or catch the error, behind what could not be read, in a session
    with a search_path of its own, and where a value of a module that could not be imported stands in the statement.
    """
    if _STANDS_IN.search(step.sql):
        return False
    written = parse(step.sql)
    if step.operation not in written or any(isinstance(operation, op.DoBlock) for operation in written):
        return False
    return not any(_hides(earlier.operation) for earlier in history.steps) and not any(
        _redirects(earlier.operation) for earlier in history.revision[: history.position]
    )


def _hides(operation: op.Operation) -> bool:
    return isinstance(operation, op.Unread) or (isinstance(operation, op.DoBlock) and bool(operation.gaps))


def _redirects(operation: op.Operation) -> bool:
    match operation:
        case op.SetParameter(name=name):
            return name.lower() == "search_path"
        case op.Query(functions=functions):
            return "set_config" in functions
        case _:
            return False
