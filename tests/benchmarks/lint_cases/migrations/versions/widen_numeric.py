"""Numeric(10,2) to numeric(12,2).

hazards: none
"""

from alembic import op

revision = "widen_numeric"
down_revision = "base_schema"
branch_labels = ("case_widen_numeric",)


def upgrade():
    op.execute("ALTER TABLE parcels ALTER order_id TYPE bigint")
