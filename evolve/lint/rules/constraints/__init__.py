"""Rules about constraints: NOT VALID, VALIDATE, keys and checks."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.add_check_validated import AddCheckValidated
from evolve.lint.rules.constraints.add_fk_validated import AddFkValidated
from evolve.lint.rules.constraints.add_unique_building_index import AddUniqueBuildingIndex
from evolve.lint.rules.constraints.validate_same_transaction import ValidateSameTransaction

RULES: tuple[Rule, ...] = (
    AddCheckValidated(),
    AddFkValidated(),
    AddUniqueBuildingIndex(),
    ValidateSameTransaction(),
)
