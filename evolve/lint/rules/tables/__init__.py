"""Rules about tables and schemas as a whole."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.tables.autovacuum_disabled import AutovacuumDisabled
from evolve.lint.rules.tables.change_inheritance import ChangeInheritance
from evolve.lint.rules.tables.create_table_fk_locks_parent import CreateTableFkLocksParent
from evolve.lint.rules.tables.create_table_force import CreateTableForce
from evolve.lint.rules.tables.create_table_no_pk import CreateTableNoPk
from evolve.lint.rules.tables.drop_cascade import DropCascade
from evolve.lint.rules.tables.drop_database import DropDatabase
from evolve.lint.rules.tables.drop_schema import DropSchema
from evolve.lint.rules.tables.drop_table import DropTable
from evolve.lint.rules.tables.drop_without_cascade import DropWithoutCascade
from evolve.lint.rules.tables.lock_table import LockTable
from evolve.lint.rules.tables.name_not_there import NameNotThere
from evolve.lint.rules.tables.name_taken import NameTaken
from evolve.lint.rules.tables.rename_object import RenameObject
from evolve.lint.rules.tables.rename_schema import RenameSchema
from evolve.lint.rules.tables.rename_table import RenameTable
from evolve.lint.rules.tables.replica_identity import ReplicaIdentity
from evolve.lint.rules.tables.set_access_method import SetAccessMethod
from evolve.lint.rules.tables.set_schema import SetSchema
from evolve.lint.rules.tables.set_tablespace import SetTablespace
from evolve.lint.rules.tables.set_unlogged import SetUnlogged
from evolve.lint.rules.tables.truncate import Truncate
from evolve.lint.rules.tables.truncate_cascade import TruncateCascade

RULES: tuple[Rule, ...] = (
    AutovacuumDisabled(),
    ChangeInheritance(),
    CreateTableFkLocksParent(),
    CreateTableForce(),
    CreateTableNoPk(),
    DropCascade(),
    DropDatabase(),
    DropSchema(),
    DropTable(),
    DropWithoutCascade(),
    LockTable(),
    NameNotThere(),
    NameTaken(),
    RenameObject(),
    RenameSchema(),
    RenameTable(),
    ReplicaIdentity(),
    SetAccessMethod(),
    SetSchema(),
    SetTablespace(),
    SetUnlogged(),
    Truncate(),
    TruncateCascade(),
)
