"""Seed rows for a new table.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "seed_rows"
down_revision = "base_schema"
branch_labels = ("case_seed_rows",)


def upgrade():
    op.create_table(
        "colours", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text())
    )
    op.bulk_insert(sa.table("colours", sa.column("name")), [{"name": "red"}])
