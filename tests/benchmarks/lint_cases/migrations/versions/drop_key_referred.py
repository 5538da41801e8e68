"""A primary key that a foreign key refers to.

hazards: fails
"""

from alembic import op

revision = "drop_key_referred"
down_revision = "base_schema"
branch_labels = ("case_drop_key_referred",)


def upgrade():
    op.drop_constraint("orders_pkey", "orders")
