"""A view that another view reads.

hazards: fails
"""

from alembic import op

revision = "drop_view_read_by_view"
down_revision = "base_schema"
branch_labels = ("case_drop_view_read_by_view",)


def upgrade():
    op.execute("CREATE VIEW bigger AS SELECT id FROM big_orders WHERE total > 1000")
    op.execute("DROP VIEW big_orders")
