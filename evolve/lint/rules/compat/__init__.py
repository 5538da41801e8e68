"""Rules that hold a revision against the application's own models."""

from __future__ import annotations

from evolve.lint.rule import Rule

RULES: tuple[Rule, ...] = ()
