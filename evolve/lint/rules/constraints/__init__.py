"""Rules about constraints: NOT VALID, VALIDATE, keys and checks."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.add_check_validated import AddCheckValidated
from evolve.lint.rules.constraints.add_exclusion import AddExclusion
from evolve.lint.rules.constraints.add_fk_many import AddFkMany
from evolve.lint.rules.constraints.add_fk_validated import AddFkValidated
from evolve.lint.rules.constraints.add_pk_nullable_columns import AddPkNullableColumns
from evolve.lint.rules.constraints.add_unique_building_index import AddUniqueBuildingIndex
from evolve.lint.rules.constraints.check_volatile import CheckVolatile
from evolve.lint.rules.constraints.drop_constraint import DropConstraint
from evolve.lint.rules.constraints.drop_fk import DropFk
from evolve.lint.rules.constraints.drop_not_null_of_key import DropNotNullOfKey
from evolve.lint.rules.constraints.drop_pk_replica_identity import DropPkReplicaIdentity
from evolve.lint.rules.constraints.fk_cascade import FkCascade
from evolve.lint.rules.constraints.fk_missing_index import FkMissingIndex
from evolve.lint.rules.constraints.fk_no_on_delete import FkNoOnDelete
from evolve.lint.rules.constraints.fk_not_deferrable import FkNotDeferrable
from evolve.lint.rules.constraints.fk_partial_index import FkPartialIndex
from evolve.lint.rules.constraints.fk_target_not_unique import FkTargetNotUnique
from evolve.lint.rules.constraints.fk_type_mismatch import FkTypeMismatch
from evolve.lint.rules.constraints.identity_refused import IdentityRefused
from evolve.lint.rules.constraints.new_write_restriction import NewWriteRestriction
from evolve.lint.rules.constraints.not_enforced import NotEnforced
from evolve.lint.rules.constraints.not_valid_never_validated import NotValidNeverValidated
from evolve.lint.rules.constraints.rename_constraint import RenameConstraint
from evolve.lint.rules.constraints.unique_of_one_value import UniqueOfOneValue
from evolve.lint.rules.constraints.unnamed_constraint import UnnamedConstraint
from evolve.lint.rules.constraints.using_index_unfit import UsingIndexUnfit
from evolve.lint.rules.constraints.validate_same_transaction import ValidateSameTransaction

RULES: tuple[Rule, ...] = (
    AddCheckValidated(),
    AddExclusion(),
    AddFkMany(),
    AddFkValidated(),
    AddPkNullableColumns(),
    AddUniqueBuildingIndex(),
    CheckVolatile(),
    DropConstraint(),
    DropFk(),
    DropNotNullOfKey(),
    DropPkReplicaIdentity(),
    FkCascade(),
    FkMissingIndex(),
    FkNoOnDelete(),
    FkNotDeferrable(),
    FkPartialIndex(),
    FkTargetNotUnique(),
    FkTypeMismatch(),
    IdentityRefused(),
    NewWriteRestriction(),
    NotEnforced(),
    NotValidNeverValidated(),
    RenameConstraint(),
    UniqueOfOneValue(),
    UnnamedConstraint(),
    UsingIndexUnfit(),
    ValidateSameTransaction(),
)
