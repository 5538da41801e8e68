"""CREATE OR REPLACE VIEW with a column more.

hazards: none
"""

from alembic import op

revision = "replace_view_with_more"
down_revision = "base_schema"
branch_labels = ("case_replace_view_with_more",)


def upgrade():
    op.execute("CREATE OR REPLACE VIEW big_orders AS SELECT id, total, note FROM orders WHERE total > 100")
