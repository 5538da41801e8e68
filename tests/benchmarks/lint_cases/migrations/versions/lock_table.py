"""LOCK TABLE, then a scan.

hazards: blocks
"""

from alembic import op

revision = "lock_table"
down_revision = "base_schema"
branch_labels = ("case_lock_table",)


def upgrade():
    op.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    op.execute("UPDATE users SET age = 31")
