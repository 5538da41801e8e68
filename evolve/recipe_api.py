"""All that a recipe of another package may import: what a change, its facts, its phases and its statements are.

A recipe is a value of type `Recipe`, named by an entry point of the group `evolve.recipes` called like its kind:

    [project.entry-points."evolve.recipes"]
    acme-add-audit-columns = "acme_evolve.audit_columns:RECIPE"

A recipe is pure: it makes the same plan of the same change and facts, and sends nothing.
"""

from __future__ import annotations

from evolve.backfill.spec import Spec
from evolve.errors import Misuse, Refused
from evolve.plan import sync
from evolve.plan.cached_plans import recycled
from evolve.plan.change import Change, Uses, columns, columns_read, table_words
from evolve.plan.expressions import read_expression, read_type
from evolve.plan.facts import Facts, NameTaken, NotThere
from evolve.plan.lost_rows import ACCEPT_LOST
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    BackfillDone,
    ColumnNotNull,
    Gate,
    Holds,
    LostRows,
    NoOlderTransaction,
    NoRows,
    Part,
    Phase,
    Plan,
    TriggerArmed,
    Validated,
    ValidIndex,
    Word,
    function_name,
    quarantine_name,
    trigger_name,
)
from evolve.plan.parameters import COLUMN, TABLE, ColumnName, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import (
    ColumnExists,
    InTheWay,
    NoKey,
    Target,
    TargetColumn,
    TargetConstraint,
    TargetIndex,
    known_column,
    refuse_family,
    refuse_later_triggers,
)
from evolve.plan.trials import AddsWithoutRewrite, ExpressionHolds, NoSuchRow, Trial
from evolve.plan.versions import Shapes, Shown, whole
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement

__all__ = [
    "ACCEPT_LOST",
    "COLUMN",
    "OLD_CODE_GONE",
    "PURGE_APPROVED",
    "TABLE",
    "AddsWithoutRewrite",
    "BackfillDone",
    "Change",
    "ColumnExists",
    "ColumnName",
    "ColumnNotNull",
    "ExpressionHolds",
    "Facts",
    "Gate",
    "Holds",
    "InTheWay",
    "LockMode",
    "LostRows",
    "Misuse",
    "NameTaken",
    "NoKey",
    "NoOlderTransaction",
    "NoRows",
    "NoSuchRow",
    "NotThere",
    "Parameter",
    "Part",
    "Phase",
    "Plan",
    "QualifiedName",
    "Recipe",
    "Refused",
    "Shapes",
    "Shown",
    "Spec",
    "Statement",
    "Target",
    "TargetColumn",
    "TargetConstraint",
    "TargetIndex",
    "Trial",
    "TriggerArmed",
    "Uses",
    "ValidIndex",
    "Validated",
    "Word",
    "columns",
    "columns_read",
    "function_name",
    "known_column",
    "literal",
    "option",
    "quarantine_name",
    "quote",
    "read_expression",
    "read_type",
    "recycled",
    "refuse_family",
    "refuse_later_triggers",
    "shorten",
    "sync",
    "table_words",
    "trigger_name",
    "whole",
]
