"""VALIDATE in a later revision.

hazards: none
"""

from alembic import op

revision = "check_validate_later"
down_revision = "check_validate_later_before"
branch_labels = ("case_check_validate_later",)


def upgrade():
    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT total_positive")
