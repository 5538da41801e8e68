"""Timestamp to timestamptz outside UTC.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "timestamp_to_timestamptz_elsewhere"
down_revision = "base_schema"
branch_labels = ("case_timestamp_to_timestamptz_elsewhere",)


def upgrade():
    op.execute("SET LOCAL timezone = 'Europe/Oslo'")
    op.alter_column("orders", "placed", type_=sa.DateTime(timezone=True))
