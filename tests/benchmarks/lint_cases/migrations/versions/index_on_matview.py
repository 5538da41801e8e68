"""An index on a materialized view, which nobody writes.

hazards: none
"""

from alembic import op

revision = "index_on_matview"
down_revision = "base_schema"
branch_labels = ("case_index_on_matview",)


def upgrade():
    op.create_index("sums_total", "sums", ["total"])
