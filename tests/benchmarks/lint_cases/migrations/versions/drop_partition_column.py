"""A column that the partition has from its table.

hazards: fails
"""

from alembic import op

revision = "drop_partition_column"
down_revision = "base_schema"
branch_labels = ("case_drop_partition_column",)


def upgrade():
    op.drop_column("events_2025", "kind")
