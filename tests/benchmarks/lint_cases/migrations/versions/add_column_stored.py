"""A stored generated column.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_stored"
down_revision = "base_schema"
branch_labels = ("case_add_column_stored",)


def upgrade():
    op.add_column("orders", sa.Column("gross", sa.Numeric(12, 2), sa.Computed("total * 1.2", persisted=True)))
