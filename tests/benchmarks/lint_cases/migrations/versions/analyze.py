"""ANALYZE reads a sample and lets everybody work.

hazards: none
"""

from alembic import op

revision = "analyze"
down_revision = "base_schema"
branch_labels = ("case_analyze",)


def upgrade():
    op.execute("ANALYZE orders")
