"""UNIQUE that builds its index.

hazards: blocks
"""

from alembic import op

revision = "unique_at_once"
down_revision = "base_schema"
branch_labels = ("case_unique_at_once",)


def upgrade():
    op.create_unique_constraint("users_email_key", "users", ["email"])
