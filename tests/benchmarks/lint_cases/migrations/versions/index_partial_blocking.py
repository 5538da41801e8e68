"""A partial index without CONCURRENTLY.

hazards: blocks
"""

from alembic import op

revision = "index_partial_blocking"
down_revision = "base_schema"
branch_labels = ("case_index_partial_blocking",)


def upgrade():
    op.execute("CREATE INDEX orders_paid ON orders (id) WHERE status = 'paid'")
