"""A CHECK that goes.

hazards: none
"""

from alembic import op

revision = "drop_check"
down_revision = "drop_check_before"
branch_labels = ("case_drop_check",)


def upgrade():
    op.execute("ALTER TABLE orders DROP CONSTRAINT note_set")
