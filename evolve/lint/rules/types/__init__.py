"""Rules about enums, domains and other types."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.types.create_enum import CreateEnum
from evolve.lint.rules.types.domain_add_constraint import DomainAddConstraint
from evolve.lint.rules.types.drop_type import DropType
from evolve.lint.rules.types.enum_add_value import EnumAddValue
from evolve.lint.rules.types.enum_drop_value import EnumDropValue
from evolve.lint.rules.types.enum_no_ordering import EnumNoOrdering
from evolve.lint.rules.types.enum_rename_value import EnumRenameValue
from evolve.lint.rules.types.enum_value_used_same_transaction import EnumValueUsedSameTransaction

RULES: tuple[Rule, ...] = (
    CreateEnum(),
    DomainAddConstraint(),
    DropType(),
    EnumAddValue(),
    EnumDropValue(),
    EnumNoOrdering(),
    EnumRenameValue(),
    EnumValueUsedSameTransaction(),
)
