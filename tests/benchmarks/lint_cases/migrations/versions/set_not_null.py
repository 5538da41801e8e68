"""SET NOT NULL without a proof.

hazards: blocks breaks-old
"""

from alembic import op

revision = "set_not_null"
down_revision = "base_schema"
branch_labels = ("case_set_not_null",)


def upgrade():
    op.alter_column("orders", "note", nullable=False)
