"""A new table is filled, and the foreign key comes behind.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "fill_table_then_fk_not_valid"
down_revision = "base_schema"
branch_labels = ("case_fill_table_then_fk_not_valid",)


def upgrade():
    op.create_table(
        "profiles",
        sa.Column("user_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("motto", sa.Text()),
    )
    op.execute("INSERT INTO profiles SELECT id, motto FROM users")
    op.create_foreign_key(
        "profiles_user_id_fkey", "profiles", "users", ["user_id"], ["id"], postgresql_not_valid=True
    )
