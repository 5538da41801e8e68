"""Rules about revisions as Alembic runs them."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.alembic.autogenerate_leftover import AutogenerateLeftover
from evolve.lint.rules.alembic.batch_recreate import BatchRecreate
from evolve.lint.rules.alembic.downgrade_mismatch import DowngradeMismatch
from evolve.lint.rules.alembic.edited_revision import EditedRevision
from evolve.lint.rules.alembic.enum_created_twice import EnumCreatedTwice
from evolve.lint.rules.alembic.enum_left_behind import EnumLeftBehind
from evolve.lint.rules.alembic.env_owns_transaction import EnvOwnsTransaction
from evolve.lint.rules.alembic.manual_commit import ManualCommit
from evolve.lint.rules.alembic.model_import import ModelImport
from evolve.lint.rules.alembic.multiple_heads import MultipleHeads
from evolve.lint.rules.alembic.no_downgrade import NoDowngrade
from evolve.lint.rules.alembic.shared_transaction import SharedTransaction

RULES: tuple[Rule, ...] = (
    AutogenerateLeftover(),
    BatchRecreate(),
    DowngradeMismatch(),
    EditedRevision(),
    EnumCreatedTwice(),
    EnumLeftBehind(),
    EnvOwnsTransaction(),
    ManualCommit(),
    ModelImport(),
    MultipleHeads(),
    NoDowngrade(),
    SharedTransaction(),
)
