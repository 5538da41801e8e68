"""A default of clock_timestamp().

hazards: blocks
"""

from alembic import op

revision = "add_column_clock_timestamp"
down_revision = "base_schema"
branch_labels = ("case_add_column_clock_timestamp",)


def upgrade():
    op.execute("ALTER TABLE orders ADD COLUMN seen timestamptz DEFAULT clock_timestamp()")
