"""The default of a NOT NULL column.

hazards: breaks-old
"""

from alembic import op

revision = "drop_default_of_required"
down_revision = "base_schema"
branch_labels = ("case_drop_default_of_required",)


def upgrade():
    op.alter_column("orders", "status", server_default=None)
