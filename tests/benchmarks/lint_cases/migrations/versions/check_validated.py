"""A CHECK at once.

hazards: blocks breaks-old
"""

from alembic import op

revision = "check_validated"
down_revision = "base_schema"
branch_labels = ("case_check_validated",)


def upgrade():
    op.create_check_constraint("note_set", "orders", "note IS NOT NULL")
