"""TRUNCATE … CASCADE.

hazards: breaks-old loses
"""

from alembic import op

revision = "truncate_cascade"
down_revision = "base_schema"
branch_labels = ("case_truncate_cascade",)


def upgrade():
    op.execute("TRUNCATE orders CASCADE")
