"""An index ON ONLY the partitioned parent.

hazards: none
"""

from alembic import op

revision = "index_only_parent"
down_revision = "base_schema"
branch_labels = ("case_index_only_parent",)


def upgrade():
    op.execute("CREATE INDEX events_kind ON ONLY events (kind)")
