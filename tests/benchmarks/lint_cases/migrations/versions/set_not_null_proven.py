"""SET NOT NULL behind a validated CHECK of an earlier revision.

hazards: none
"""

from alembic import op

revision = "set_not_null_proven"
down_revision = "set_not_null_proven_before"
branch_labels = ("case_set_not_null_proven",)


def upgrade():
    op.alter_column("orders", "note", nullable=False)
