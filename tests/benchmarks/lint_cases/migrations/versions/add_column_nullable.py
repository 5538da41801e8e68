"""A nullable column.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_nullable"
down_revision = "base_schema"
branch_labels = ("case_add_column_nullable",)


def upgrade():
    op.add_column("orders", sa.Column("gift", sa.Boolean()))
