"""Rules about the comments that allow findings."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.allow.allow_expired import AllowExpired
from evolve.lint.rules.allow.allow_unknown_rule import AllowUnknownRule
from evolve.lint.rules.allow.allow_unreadable import AllowUnreadable
from evolve.lint.rules.allow.allow_unused import AllowUnused
from evolve.lint.rules.allow.allow_without_reason import AllowWithoutReason

RULES: tuple[Rule, ...] = (
    AllowExpired(),
    AllowUnknownRule(),
    AllowUnreadable(),
    AllowUnused(),
    AllowWithoutReason(),
)
