"""A renamed column.

hazards: breaks-old
"""

from alembic import op

revision = "rename_column"
down_revision = "base_schema"
branch_labels = ("case_rename_column",)


def upgrade():
    op.alter_column("orders", "note", new_column_name="remark")
