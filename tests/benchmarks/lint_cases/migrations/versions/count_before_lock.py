"""Rows are counted, and ALTER TABLE comes behind.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "count_before_lock"
down_revision = "base_schema"
branch_labels = ("case_count_before_lock",)


def upgrade():
    op.get_bind().execute(sa.text("SELECT count(*) FROM orders"))
    op.add_column("users", sa.Column("city", sa.Text()))
