"""A CHECK NOT VALID that old code meets.

hazards: none
"""

from alembic import op

revision = "check_not_valid"
down_revision = "base_schema"
branch_labels = ("case_check_not_valid",)


def upgrade():
    op.create_check_constraint("total_positive", "orders", "total >= 0", postgresql_not_valid=True)
