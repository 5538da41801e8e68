"""REFRESH MATERIALIZED VIEW CONCURRENTLY.

hazards: none
"""

from alembic import op

revision = "refresh_matview_concurrently"
down_revision = "base_schema"
branch_labels = ("case_refresh_matview_concurrently",)


def upgrade():
    op.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY sums")
