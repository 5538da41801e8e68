"""CREATE UNIQUE INDEX without CONCURRENTLY.

hazards: blocks
"""

from alembic import op

revision = "index_unique_blocking"
down_revision = "base_schema"
branch_labels = ("case_index_unique_blocking",)


def upgrade():
    op.create_index("users_email", "users", ["email"], unique=True)
