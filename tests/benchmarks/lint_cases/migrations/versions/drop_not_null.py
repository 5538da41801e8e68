"""A NOT NULL that goes: readers may meet a null.

hazards: none
"""

from alembic import op

revision = "drop_not_null"
down_revision = "base_schema"
branch_labels = ("case_drop_not_null",)


def upgrade():
    op.alter_column("orders", "user_id", nullable=True)
