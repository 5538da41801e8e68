"""Rules about what shares a transaction, the session, and data changed by revisions."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.transactions.ddl_and_backfill_one_transaction import DdlAndBackfillOneTransaction

RULES: tuple[Rule, ...] = (DdlAndBackfillOneTransaction(),)
