"""Rows are counted while ALTER TABLE keeps its lock.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "count_under_lock"
down_revision = "base_schema"
branch_labels = ("case_count_under_lock",)


def upgrade():
    op.add_column("users", sa.Column("city", sa.Text()))
    op.get_bind().execute(sa.text("SELECT count(*) FROM orders"))
