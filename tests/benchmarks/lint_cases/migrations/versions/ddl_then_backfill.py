"""A backfill in the transaction of the ALTER TABLE.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "ddl_then_backfill"
down_revision = "base_schema"
branch_labels = ("case_ddl_then_backfill",)


def upgrade():
    op.add_column("orders", sa.Column("gift", sa.Boolean()))
    op.execute("UPDATE orders SET gift = false")
