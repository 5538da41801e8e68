"""NOT VALID and VALIDATE in one transaction.

hazards: blocks
"""

from alembic import op

revision = "check_validate_same"
down_revision = "base_schema"
branch_labels = ("case_check_validate_same",)


def upgrade():
    op.create_check_constraint("total_positive", "orders", "total >= 0", postgresql_not_valid=True)
    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT total_positive")
