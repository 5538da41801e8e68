"""Rules about revisions as Alembic runs them."""

from __future__ import annotations

from evolve.lint.rule import Rule

RULES: tuple[Rule, ...] = ()
