"""Commands of evolve as text, quoted for a shell."""

from __future__ import annotations

from shlex import quote as shell

from evolve.sql.names import QualifiedName, quote


def plan(recipe: str, table: QualifiedName, column: str, *further: str) -> str:
    """`evolve plan RECIPE TABLE.COLUMN …`."""
    return " ".join(("evolve plan", recipe, shell(f"{table}.{quote(column)}"), *map(shell, further)))
