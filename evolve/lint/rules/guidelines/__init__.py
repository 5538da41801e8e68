"""Guidelines of style and design: opt-in."""

from __future__ import annotations

from evolve.lint.rule import Rule

RULES: tuple[Rule, ...] = ()
