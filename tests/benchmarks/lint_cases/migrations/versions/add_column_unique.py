"""A unique column.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_unique"
down_revision = "base_schema"
branch_labels = ("case_add_column_unique",)


def upgrade():
    op.add_column("orders", sa.Column("token", sa.Text(), unique=True))
    op.create_unique_constraint("orders_token", "orders", ["token"])
