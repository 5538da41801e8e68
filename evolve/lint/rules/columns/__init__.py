"""Rules about columns: adding, dropping, renaming and changing them."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.columns.add_column import AddColumn
from evolve.lint.rules.columns.add_column_client_default import AddColumnClientDefault
from evolve.lint.rules.columns.add_column_constrained_domain import AddColumnConstrainedDomain
from evolve.lint.rules.columns.add_column_generated_stored import AddColumnGeneratedStored
from evolve.lint.rules.columns.add_column_identity import AddColumnIdentity
from evolve.lint.rules.columns.add_column_json import AddColumnJson
from evolve.lint.rules.columns.add_column_required import AddColumnRequired
from evolve.lint.rules.columns.add_column_serial import AddColumnSerial
from evolve.lint.rules.columns.add_column_volatile_default import AddColumnVolatileDefault
from evolve.lint.rules.columns.alter_column_noop_server_default import AlterColumnNoopServerDefault
from evolve.lint.rules.columns.alter_generated_expression import AlterGeneratedExpression
from evolve.lint.rules.columns.alter_identity import AlterIdentity
from evolve.lint.rules.columns.alter_type_blocked_by_view import AlterTypeBlockedByView
from evolve.lint.rules.columns.alter_type_default_stays import AlterTypeDefaultStays
from evolve.lint.rules.columns.alter_type_index_rebuild import AlterTypeIndexRebuild
from evolve.lint.rules.columns.alter_type_narrowing import AlterTypeNarrowing
from evolve.lint.rules.columns.alter_type_needs_using import AlterTypeNeedsUsing
from evolve.lint.rules.columns.alter_type_rewrite import AlterTypeRewrite
from evolve.lint.rules.columns.alter_type_scan_only import AlterTypeScanOnly
from evolve.lint.rules.columns.alter_type_timezone import AlterTypeTimezone
from evolve.lint.rules.columns.default_unfit import DefaultUnfit
from evolve.lint.rules.columns.drop_column import DropColumn
from evolve.lint.rules.columns.drop_column_with_dependents import DropColumnWithDependents
from evolve.lint.rules.columns.drop_default import DropDefault
from evolve.lint.rules.columns.drop_generated_expression import DropGeneratedExpression
from evolve.lint.rules.columns.drop_identity import DropIdentity
from evolve.lint.rules.columns.drop_not_null import DropNotNull
from evolve.lint.rules.columns.inherited_column import InheritedColumn
from evolve.lint.rules.columns.needs_newer_postgres import NeedsNewerPostgres
from evolve.lint.rules.columns.rename_column import RenameColumn
from evolve.lint.rules.columns.set_default import SetDefault
from evolve.lint.rules.columns.set_not_null_and_drop_check_together import SetNotNullAndDropCheckTogether
from evolve.lint.rules.columns.set_not_null_scan import SetNotNullScan
from evolve.lint.rules.columns.set_storage import SetStorage

RULES: tuple[Rule, ...] = (
    AddColumn(),
    AddColumnClientDefault(),
    AddColumnConstrainedDomain(),
    AddColumnGeneratedStored(),
    AddColumnIdentity(),
    AddColumnJson(),
    AddColumnRequired(),
    AddColumnSerial(),
    AddColumnVolatileDefault(),
    AlterColumnNoopServerDefault(),
    AlterGeneratedExpression(),
    AlterIdentity(),
    AlterTypeBlockedByView(),
    AlterTypeDefaultStays(),
    AlterTypeIndexRebuild(),
    AlterTypeNarrowing(),
    AlterTypeNeedsUsing(),
    AlterTypeRewrite(),
    AlterTypeScanOnly(),
    AlterTypeTimezone(),
    DefaultUnfit(),
    DropColumn(),
    DropColumnWithDependents(),
    DropDefault(),
    DropGeneratedExpression(),
    DropIdentity(),
    DropNotNull(),
    InheritedColumn(),
    NeedsNewerPostgres(),
    RenameColumn(),
    SetDefault(),
    SetNotNullAndDropCheckTogether(),
    SetNotNullScan(),
    SetStorage(),
)
