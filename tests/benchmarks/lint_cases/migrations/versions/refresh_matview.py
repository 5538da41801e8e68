"""REFRESH MATERIALIZED VIEW.

hazards: blocks
"""

from alembic import op

revision = "refresh_matview"
down_revision = "base_schema"
branch_labels = ("case_refresh_matview",)


def upgrade():
    op.execute("REFRESH MATERIALIZED VIEW sums")
