"""Rules about tables and schemas as a whole."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.tables.drop_table import DropTable
from evolve.lint.rules.tables.rename_table import RenameTable

RULES: tuple[Rule, ...] = (
    DropTable(),
    RenameTable(),
)
