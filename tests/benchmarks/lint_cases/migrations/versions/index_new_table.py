"""An index of a table made in the same revision.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "index_new_table"
down_revision = "base_schema"
branch_labels = ("case_index_new_table",)


def upgrade():
    op.create_table("gifts", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
    op.create_index("gifts_name", "gifts", ["name"])
