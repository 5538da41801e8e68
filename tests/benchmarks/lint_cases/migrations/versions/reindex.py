"""REINDEX TABLE.

hazards: blocks
"""

from alembic import op

revision = "reindex"
down_revision = "base_schema"
branch_labels = ("case_reindex",)


def upgrade():
    op.execute("REINDEX TABLE orders")
