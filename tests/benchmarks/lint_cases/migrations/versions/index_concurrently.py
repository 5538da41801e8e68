"""CREATE INDEX CONCURRENTLY in an autocommit block.

hazards: none
"""

from alembic import op

revision = "index_concurrently"
down_revision = "base_schema"
branch_labels = ("case_index_concurrently",)


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("orders_placed", "orders", ["placed"], postgresql_concurrently=True)
