"""A column of a domain with a CHECK.

hazards: blocks
"""

from alembic import op

revision = "add_column_domain"
down_revision = "base_schema"
branch_labels = ("case_add_column_domain",)


def upgrade():
    op.execute("ALTER TABLE orders ADD COLUMN discount percent")
