"""CLUSTER.

hazards: blocks
"""

from alembic import op

revision = "cluster"
down_revision = "base_schema"
branch_labels = ("case_cluster",)


def upgrade():
    op.execute("CLUSTER orders USING orders_user_id")
