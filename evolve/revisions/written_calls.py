"""How autogenerate writes a call of one of our operations into a revision."""

# Whoever imports a module with operations first imports Alembic through it, which comes back for the others while that
# one is half done: so this one imports nothing.
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


def prefix(context: AutogenContext) -> str:
    """What operations are called through, "op." mostly."""
    return str(context.opts.get("alembic_module_prefix") or "")


def in_autocommit(context: AutogenContext, call: str) -> str:
    return f"with {prefix(context)}get_context().autocommit_block():\n    {call}"
