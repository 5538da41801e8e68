"""Rules about views, functions and triggers."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.views.alter_function_options import AlterFunctionOptions
from evolve.lint.rules.views.create_rule import CreateRule
from evolve.lint.rules.views.create_trigger import CreateTrigger
from evolve.lint.rules.views.drop_function import DropFunction
from evolve.lint.rules.views.drop_trigger import DropTrigger
from evolve.lint.rules.views.drop_view import DropView
from evolve.lint.rules.views.drop_view_column import DropViewColumn
from evolve.lint.rules.views.matview_with_data import MatviewWithData
from evolve.lint.rules.views.refresh_matview_blocking import RefreshMatviewBlocking
from evolve.lint.rules.views.rename_view_column import RenameViewColumn
from evolve.lint.rules.views.replace_view_columns import ReplaceViewColumns
from evolve.lint.rules.views.replace_view_or_function import ReplaceViewOrFunction

RULES: tuple[Rule, ...] = (
    AlterFunctionOptions(),
    CreateRule(),
    CreateTrigger(),
    DropFunction(),
    DropTrigger(),
    DropView(),
    DropViewColumn(),
    MatviewWithData(),
    RefreshMatviewBlocking(),
    RenameViewColumn(),
    ReplaceViewColumns(),
    ReplaceViewOrFunction(),
)
