"""Rules about tables and schemas as a whole."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.tables.create_table_force import CreateTableForce
from evolve.lint.rules.tables.drop_cascade import DropCascade
from evolve.lint.rules.tables.drop_database import DropDatabase
from evolve.lint.rules.tables.drop_schema import DropSchema
from evolve.lint.rules.tables.drop_table import DropTable
from evolve.lint.rules.tables.rename_object import RenameObject
from evolve.lint.rules.tables.rename_schema import RenameSchema
from evolve.lint.rules.tables.rename_table import RenameTable
from evolve.lint.rules.tables.set_schema import SetSchema
from evolve.lint.rules.tables.truncate import Truncate
from evolve.lint.rules.tables.truncate_cascade import TruncateCascade

RULES: tuple[Rule, ...] = (
    CreateTableForce(),
    DropCascade(),
    DropDatabase(),
    DropSchema(),
    DropTable(),
    RenameObject(),
    RenameSchema(),
    RenameTable(),
    SetSchema(),
    Truncate(),
    TruncateCascade(),
)
