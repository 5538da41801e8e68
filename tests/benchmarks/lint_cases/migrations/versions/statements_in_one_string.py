"""DDL and a backfill in one string.

hazards: blocks
"""

from alembic import op

revision = "statements_in_one_string"
down_revision = "base_schema"
branch_labels = ("case_statements_in_one_string",)


def upgrade():
    op.execute("ALTER TABLE users ADD COLUMN city text; UPDATE users SET city = 'Oslo'")
