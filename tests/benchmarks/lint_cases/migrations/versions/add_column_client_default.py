"""NOT NULL with a default that only Python knows.

hazards: fails breaks-old
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_client_default"
down_revision = "base_schema"
branch_labels = ("case_add_column_client_default",)


def upgrade():
    op.add_column("orders", sa.Column("gift", sa.Boolean(), default=False, nullable=False))
