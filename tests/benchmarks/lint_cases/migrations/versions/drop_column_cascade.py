"""A column goes, and the views that read it with it.

hazards: breaks-old loses
"""

from alembic import op

revision = "drop_column_cascade"
down_revision = "base_schema"
branch_labels = ("case_drop_column_cascade",)


def upgrade():
    op.execute("ALTER TABLE orders DROP COLUMN total CASCADE")
