"""TRUNCATE.

hazards: loses
"""

from alembic import op

revision = "truncate"
down_revision = "base_schema"
branch_labels = ("case_truncate",)


def upgrade():
    op.execute("TRUNCATE parcels")
