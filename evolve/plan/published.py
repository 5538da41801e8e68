"""What the subscribers of a published table need, so that none of them stops with an error.

Rows go out by the names of their columns, and a subscriber knows nothing of the schema that they come from.
"""

from __future__ import annotations

from evolve.plan.put_back import type_of
from evolve.plan.target import TargetColumn
from evolve.sql.names import quote


def needs_kept(column: TargetColumn, kept: str) -> str:
    """What they need before `column` is called `kept`.

    Nothing comes under its old name any more, which a subscriber that holds it NOT NULL would refuse.
    """
    added = f"a column {kept} {type_of(column)}"
    return f"{added}, and {quote(column.name)} without NOT NULL" if column.not_null else added
