"""Rules about what shares a transaction, the session, and data changed by revisions."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.transactions.ddl_and_backfill_one_transaction import DdlAndBackfillOneTransaction
from evolve.lint.rules.transactions.delete_without_where import DeleteWithoutWhere
from evolve.lint.rules.transactions.disable_trigger import DisableTrigger
from evolve.lint.rules.transactions.multi_table_lock import MultiTableLock
from evolve.lint.rules.transactions.pgbouncer_transaction_mode import PgbouncerTransactionMode
from evolve.lint.rules.transactions.savepoint_loop import SavepointLoop
from evolve.lint.rules.transactions.search_path_change import SearchPathChange
from evolve.lint.rules.transactions.sequence_not_reset import SequenceNotReset
from evolve.lint.rules.transactions.session_replication_role import SessionReplicationRole
from evolve.lint.rules.transactions.statement_after_access_exclusive import StatementAfterAccessExclusive
from evolve.lint.rules.transactions.transaction_nesting import TransactionNesting
from evolve.lint.rules.transactions.update_without_where import UpdateWithoutWhere

RULES: tuple[Rule, ...] = (
    DdlAndBackfillOneTransaction(),
    DeleteWithoutWhere(),
    DisableTrigger(),
    MultiTableLock(),
    PgbouncerTransactionMode(),
    SavepointLoop(),
    SearchPathChange(),
    SequenceNotReset(),
    SessionReplicationRole(),
    StatementAfterAccessExclusive(),
    TransactionNesting(),
    UpdateWithoutWhere(),
)
