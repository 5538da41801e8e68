"""A foreign key NOT VALID.

hazards: none
"""

from alembic import op

revision = "fk_not_valid"
down_revision = "base_schema"
branch_labels = ("case_fk_not_valid",)


def upgrade():
    op.create_foreign_key("orders_user", "orders", "users", ["user_id"], ["id"], postgresql_not_valid=True)
