"""Rules about enums, domains and other types."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.types.enum_value_used_same_transaction import EnumValueUsedSameTransaction

RULES: tuple[Rule, ...] = (EnumValueUsedSameTransaction(),)
