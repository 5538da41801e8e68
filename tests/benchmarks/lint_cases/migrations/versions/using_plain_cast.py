"""USING says what the change does anyway.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "using_plain_cast"
down_revision = "base_schema"
branch_labels = ("case_using_plain_cast",)


def upgrade():
    op.alter_column("users", "name", type_=sa.Text(), postgresql_using="name::text")
