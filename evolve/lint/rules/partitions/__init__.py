"""Rules about partitions, shards and extensions that manage tables."""

from __future__ import annotations

from evolve.lint.rule import Rule

RULES: tuple[Rule, ...] = ()
