"""A new table.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "create_table"
down_revision = "base_schema"
branch_labels = ("case_create_table",)


def upgrade():
    op.create_table("gifts", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
