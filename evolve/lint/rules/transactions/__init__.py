"""Rules about what shares a transaction, the session, and data changed by revisions."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.transactions.analyze_after_backfill import AnalyzeAfterBackfill
from evolve.lint.rules.transactions.ddl_and_backfill_one_transaction import DdlAndBackfillOneTransaction
from evolve.lint.rules.transactions.delete_without_where import DeleteWithoutWhere
from evolve.lint.rules.transactions.disable_trigger import DisableTrigger
from evolve.lint.rules.transactions.disk_headroom import DiskHeadroom
from evolve.lint.rules.transactions.dml_in_ddl_revision import DmlInDdlRevision
from evolve.lint.rules.transactions.hot_table_multi_touch import HotTableMultiTouch
from evolve.lint.rules.transactions.hot_update_loss import HotUpdateLoss
from evolve.lint.rules.transactions.long_build import LongBuild
from evolve.lint.rules.transactions.mass_update_bloat import MassUpdateBloat
from evolve.lint.rules.transactions.merge_alters import MergeAlters
from evolve.lint.rules.transactions.missing_application_name import MissingApplicationName
from evolve.lint.rules.transactions.missing_idle_timeout import MissingIdleTimeout
from evolve.lint.rules.transactions.missing_lock_timeout import MissingLockTimeout
from evolve.lint.rules.transactions.missing_statement_timeout import MissingStatementTimeout
from evolve.lint.rules.transactions.multi_table_lock import MultiTableLock
from evolve.lint.rules.transactions.pgbouncer_transaction_mode import PgbouncerTransactionMode
from evolve.lint.rules.transactions.replica_conflict import ReplicaConflict
from evolve.lint.rules.transactions.replication_lag import ReplicationLag
from evolve.lint.rules.transactions.savepoint_loop import SavepointLoop
from evolve.lint.rules.transactions.search_path_change import SearchPathChange
from evolve.lint.rules.transactions.sequence_goes_back import SequenceGoesBack
from evolve.lint.rules.transactions.sequence_not_reset import SequenceNotReset
from evolve.lint.rules.transactions.session_replication_role import SessionReplicationRole
from evolve.lint.rules.transactions.statement_after_access_exclusive import StatementAfterAccessExclusive
from evolve.lint.rules.transactions.timeout_set_late import TimeoutSetLate
from evolve.lint.rules.transactions.timeout_too_long import TimeoutTooLong
from evolve.lint.rules.transactions.timeout_zero import TimeoutZero
from evolve.lint.rules.transactions.toast_bloat import ToastBloat
from evolve.lint.rules.transactions.transaction_nesting import TransactionNesting
from evolve.lint.rules.transactions.update_large import UpdateLarge
from evolve.lint.rules.transactions.update_without_where import UpdateWithoutWhere
from evolve.lint.rules.transactions.write_hot_table import WriteHotTable

RULES: tuple[Rule, ...] = (
    AnalyzeAfterBackfill(),
    DdlAndBackfillOneTransaction(),
    DeleteWithoutWhere(),
    DisableTrigger(),
    DiskHeadroom(),
    DmlInDdlRevision(),
    HotTableMultiTouch(),
    HotUpdateLoss(),
    LongBuild(),
    MassUpdateBloat(),
    MergeAlters(),
    MissingApplicationName(),
    MissingIdleTimeout(),
    MissingLockTimeout(),
    MissingStatementTimeout(),
    MultiTableLock(),
    PgbouncerTransactionMode(),
    ReplicaConflict(),
    ReplicationLag(),
    SavepointLoop(),
    SearchPathChange(),
    SequenceGoesBack(),
    SequenceNotReset(),
    SessionReplicationRole(),
    StatementAfterAccessExclusive(),
    TimeoutSetLate(),
    TimeoutTooLong(),
    TimeoutZero(),
    ToastBloat(),
    TransactionNesting(),
    UpdateLarge(),
    UpdateWithoutWhere(),
    WriteHotTable(),
)
