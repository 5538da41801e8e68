"""A table of the revision before it that holds nothing of use.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "drop_new_table"
down_revision = "base_schema"
branch_labels = ("case_drop_new_table",)


def upgrade():
    op.create_table("gifts", sa.Column("id", sa.BigInteger(), primary_key=True))
    op.drop_table("gifts")
