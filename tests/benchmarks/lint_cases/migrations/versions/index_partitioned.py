"""An index of a partitioned table.

hazards: blocks
"""

from alembic import op

revision = "index_partitioned"
down_revision = "base_schema"
branch_labels = ("case_index_partitioned",)


def upgrade():
    op.create_index("events_kind", "events", ["kind"])
