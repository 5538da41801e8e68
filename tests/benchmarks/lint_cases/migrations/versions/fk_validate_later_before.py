"""Applied before fk_validate_later."""

from alembic import op

revision = "fk_validate_later_before"
down_revision = "base_schema"
branch_labels = ("case_fk_validate_later_before",)


def upgrade():
    op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"], postgresql_not_valid=True)
