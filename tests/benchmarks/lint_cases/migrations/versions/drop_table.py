"""A table that the old release maps.

hazards: breaks-old loses
"""

from alembic import op

revision = "drop_table"
down_revision = "base_schema"
branch_labels = ("case_drop_table",)


def upgrade():
    op.drop_table("parcels")
