"""A renamed table.

hazards: breaks-old
"""

from alembic import op

revision = "rename_table"
down_revision = "base_schema"
branch_labels = ("case_rename_table",)


def upgrade():
    op.rename_table("parcels", "packages")
