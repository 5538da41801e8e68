"""Commands of evolve as text, quoted for a shell."""

from __future__ import annotations

from shlex import quote as shell

from evolve.sql.names import QualifiedName, quote


def plan_table(recipe: str, table: QualifiedName, *further: str) -> str:
    """`evolve plan RECIPE TABLE …`."""
    return " ".join(("evolve plan", recipe, shell(str(table)), *map(shell, further)))


def plan(recipe: str, table: QualifiedName, column: str, *further: str) -> str:
    """`evolve plan RECIPE TABLE.COLUMN …`."""
    return " ".join(("evolve plan", recipe, shell(f"{table}.{quote(column)}"), *map(shell, further)))
