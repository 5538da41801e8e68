"""A view that gets one more column.

hazards: none
"""

from alembic import op

revision = "replace_view"
down_revision = "base_schema"
branch_labels = ("case_replace_view",)


def upgrade():
    op.execute("CREATE OR REPLACE VIEW big_orders AS SELECT id, total, note FROM orders WHERE total > 100")
