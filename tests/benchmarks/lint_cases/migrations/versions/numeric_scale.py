"""Numeric(10,2) to numeric(10,3).

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "numeric_scale"
down_revision = "base_schema"
branch_labels = ("case_numeric_scale",)


def upgrade():
    op.alter_column("parcels", "weight", type_=sa.Numeric(10, 3))
