"""CREATE TABLE … PARTITION OF beside a DEFAULT that holds rows.

hazards: blocks
"""

from alembic import op

revision = "create_partition_of"
down_revision = "base_schema"
branch_labels = ("case_create_partition_of",)


def upgrade():
    op.execute("CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM (2027) TO (2028)")
