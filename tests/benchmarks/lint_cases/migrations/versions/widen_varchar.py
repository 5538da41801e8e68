"""Varchar(50) to varchar(100).

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "widen_varchar"
down_revision = "base_schema"
branch_labels = ("case_widen_varchar",)


def upgrade():
    op.alter_column("users", "name", type_=sa.String(100))
