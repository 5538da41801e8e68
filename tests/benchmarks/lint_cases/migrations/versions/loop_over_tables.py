"""A loop that builds indexes.

hazards: blocks
"""

from alembic import op

revision = "loop_over_tables"
down_revision = "base_schema"
branch_labels = ("case_loop_over_tables",)


def upgrade():
    for table, column in (("orders", "placed"), ("parcels", "order_id")):
        op.create_index(f"{table}_{column}", table, [column])
