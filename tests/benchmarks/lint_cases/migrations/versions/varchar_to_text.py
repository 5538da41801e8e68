"""Varchar to text.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "varchar_to_text"
down_revision = "base_schema"
branch_labels = ("case_varchar_to_text",)


def upgrade():
    op.alter_column("users", "name", type_=sa.Text())
