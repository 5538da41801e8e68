"""Rules that hold a revision against the application's own models."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.compat.code_and_migration_same_change import CodeAndMigrationSameChange
from evolve.lint.rules.compat.compat_bind_cast import CompatBindCast
from evolve.lint.rules.compat.compat_cached_plan import CompatCachedPlan
from evolve.lint.rules.compat.compat_deferred_column import CompatDeferredColumn
from evolve.lint.rules.compat.compat_enum_reader import CompatEnumReader
from evolve.lint.rules.compat.compat_generated import CompatGenerated
from evolve.lint.rules.compat.compat_identity_always import CompatIdentityAlways
from evolve.lint.rules.compat.compat_new_bind_cast import CompatNewBindCast
from evolve.lint.rules.compat.compat_orm_explicit_null import CompatOrmExplicitNull
from evolve.lint.rules.compat.compat_pk_default import CompatPkDefault
from evolve.lint.rules.compat.compat_relationship import CompatRelationship
from evolve.lint.rules.compat.compat_schema_move import CompatSchemaMove
from evolve.lint.rules.compat.drop_column_still_mapped import DropColumnStillMapped
from evolve.lint.rules.compat.drop_required_column import DropRequiredColumn

RULES: tuple[Rule, ...] = (
    CodeAndMigrationSameChange(),
    CompatBindCast(),
    CompatCachedPlan(),
    CompatDeferredColumn(),
    CompatEnumReader(),
    CompatGenerated(),
    CompatIdentityAlways(),
    CompatNewBindCast(),
    CompatOrmExplicitNull(),
    CompatPkDefault(),
    CompatRelationship(),
    CompatSchemaMove(),
    DropColumnStillMapped(),
    DropRequiredColumn(),
)
