"""A view that the old release reads.

hazards: breaks-old
"""

from alembic import op

revision = "drop_view"
down_revision = "base_schema"
branch_labels = ("case_drop_view",)


def upgrade():
    op.execute("DROP VIEW big_orders")
