"""A new table with a foreign key is filled while that keeps writers out.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "fill_table_with_fk"
down_revision = "base_schema"
branch_labels = ("case_fill_table_with_fk",)


def upgrade():
    op.create_table(
        "profiles",
        sa.Column("user_id", sa.BigInteger(), sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("motto", sa.Text()),
    )
    op.execute("INSERT INTO profiles SELECT id, motto FROM users")
