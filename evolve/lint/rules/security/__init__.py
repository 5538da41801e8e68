"""Rules about policies, privileges and superuser statements."""

from __future__ import annotations

from evolve.lint.rule import Rule

RULES: tuple[Rule, ...] = ()
