"""A new table, filled and changed in its own revision.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "create_and_fill_table"
down_revision = "base_schema"
branch_labels = ("case_create_and_fill_table",)


def upgrade():
    op.create_table(
        "colours", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text())
    )
    op.execute("INSERT INTO colours VALUES (1, 'red'), (2, 'blue')")
    op.alter_column("colours", "name", nullable=False)
