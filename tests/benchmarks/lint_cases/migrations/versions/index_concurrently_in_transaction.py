"""CONCURRENTLY inside a transaction.

hazards: fails
"""

from alembic import op

revision = "index_concurrently_in_transaction"
down_revision = "base_schema"
branch_labels = ("case_index_concurrently_in_transaction",)


def upgrade():
    op.create_index("orders_placed", "orders", ["placed"], postgresql_concurrently=True)
