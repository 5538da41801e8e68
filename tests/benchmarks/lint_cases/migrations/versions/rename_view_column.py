"""A column of a view that the old release reads.

hazards: breaks-old
"""

from alembic import op

revision = "rename_view_column"
down_revision = "base_schema"
branch_labels = ("case_rename_view_column",)


def upgrade():
    op.execute("ALTER VIEW big_orders RENAME COLUMN total TO amount")
