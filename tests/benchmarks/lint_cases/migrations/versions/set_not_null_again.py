"""SET NOT NULL on a column that is NOT NULL.

hazards: none
"""

from alembic import op

revision = "set_not_null_again"
down_revision = "base_schema"
branch_labels = ("case_set_not_null_again",)


def upgrade():
    op.alter_column("orders", "user_id", nullable=False)
