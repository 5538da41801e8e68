"""A table that a foreign key refers to, and views read.

hazards: fails
"""

from alembic import op

revision = "drop_table_referred"
down_revision = "base_schema"
branch_labels = ("case_drop_table_referred",)


def upgrade():
    op.drop_table("orders")
