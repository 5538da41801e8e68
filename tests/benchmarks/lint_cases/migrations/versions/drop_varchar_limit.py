"""Varchar(50) to varchar.

hazards: none
"""

from alembic import op

revision = "drop_varchar_limit"
down_revision = "base_schema"
branch_labels = ("case_drop_varchar_limit",)


def upgrade():
    op.execute("ALTER TABLE users ALTER name TYPE varchar")
