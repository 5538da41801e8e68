"""A key of the partitioned table alone, for indexes of its partitions to be attached to.

hazards: none
"""

from alembic import op

revision = "unique_only_parent"
down_revision = "base_schema"
branch_labels = ("case_unique_only_parent",)


def upgrade():
    op.execute("ALTER TABLE ONLY events ADD CONSTRAINT events_key UNIQUE (id, year)")
