"""A materialized view is emptied.

hazards: breaks-old
"""

from alembic import op

revision = "refresh_with_no_data"
down_revision = "base_schema"
branch_labels = ("case_refresh_with_no_data",)


def upgrade():
    op.execute("REFRESH MATERIALIZED VIEW sums WITH NO DATA")
