"""A default for a column that has none.

hazards: none
"""

from alembic import op

revision = "set_default"
down_revision = "base_schema"
branch_labels = ("case_set_default",)


def upgrade():
    op.alter_column("orders", "note", server_default="none")
