"""A comment.

hazards: none
"""

from alembic import op

revision = "comment"
down_revision = "base_schema"
branch_labels = ("case_comment",)


def upgrade():
    op.create_table_comment("orders", "What was ordered.")
