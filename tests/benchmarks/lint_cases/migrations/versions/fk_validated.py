"""A foreign key at once.

hazards: blocks
"""

from alembic import op

revision = "fk_validated"
down_revision = "base_schema"
branch_labels = ("case_fk_validated",)


def upgrade():
    op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"])
