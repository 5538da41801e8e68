"""Batch mode, which sends plain ALTER TABLE.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "batch_alter_table"
down_revision = "base_schema"
branch_labels = ("case_batch_alter_table",)


def upgrade():
    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("gift", sa.Boolean()))
