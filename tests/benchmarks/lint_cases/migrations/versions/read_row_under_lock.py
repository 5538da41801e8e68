"""A row is read by its key while ALTER TABLE keeps its lock.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "read_row_under_lock"
down_revision = "base_schema"
branch_labels = ("case_read_row_under_lock",)


def upgrade():
    op.add_column("users", sa.Column("city", sa.Text()))
    op.get_bind().execute(sa.text("SELECT name FROM users WHERE id = 1"))
