"""A column with a CHECK of its own.

hazards: blocks
"""

from alembic import op

revision = "add_column_check"
down_revision = "base_schema"
branch_labels = ("case_add_column_check",)


def upgrade():
    op.execute("ALTER TABLE orders ADD COLUMN stars integer CHECK (stars < 6)")
