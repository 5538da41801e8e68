"""A column that is not there.

hazards: none
"""

from alembic import op

revision = "drop_column_if_exists"
down_revision = "base_schema"
branch_labels = ("case_drop_column_if_exists",)


def upgrade():
    op.execute("ALTER TABLE orders DROP COLUMN IF EXISTS no_such_column")
