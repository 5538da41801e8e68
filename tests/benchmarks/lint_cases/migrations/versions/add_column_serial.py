"""A serial column.

hazards: blocks
"""

from alembic import op

revision = "add_column_serial"
down_revision = "base_schema"
branch_labels = ("case_add_column_serial",)


def upgrade():
    op.execute("ALTER TABLE orders ADD COLUMN number serial")
