"""CREATE OR REPLACE VIEW with a column less.

hazards: fails
"""

from alembic import op

revision = "replace_view_without_column"
down_revision = "base_schema"
branch_labels = ("case_replace_view_without_column",)


def upgrade():
    op.execute("CREATE OR REPLACE VIEW big_orders AS SELECT id FROM orders WHERE total > 100")
