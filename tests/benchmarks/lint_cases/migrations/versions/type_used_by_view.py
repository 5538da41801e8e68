"""The type of a column that a view reads.

hazards: fails
"""

import sqlalchemy as sa
from alembic import op

revision = "type_used_by_view"
down_revision = "base_schema"
branch_labels = ("case_type_used_by_view",)


def upgrade():
    op.alter_column("orders", "total", type_=sa.Numeric(12, 2))
