"""Applied before check_validate_later."""

from alembic import op

revision = "check_validate_later_before"
down_revision = "base_schema"
branch_labels = ("case_check_validate_later_before",)


def upgrade():
    op.create_check_constraint("total_positive", "orders", "total >= 0", postgresql_not_valid=True)
