"""CREATE INDEX without CONCURRENTLY.

hazards: blocks
"""

from alembic import op

revision = "index_blocking"
down_revision = "base_schema"
branch_labels = ("case_index_blocking",)


def upgrade():
    op.create_index("orders_placed", "orders", ["placed"])
