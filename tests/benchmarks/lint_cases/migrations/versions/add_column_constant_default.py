"""A NOT NULL column with a constant default.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_constant_default"
down_revision = "base_schema"
branch_labels = ("case_add_column_constant_default",)


def upgrade():
    op.add_column("orders", sa.Column("gift", sa.Boolean(), server_default=sa.false(), nullable=False))
