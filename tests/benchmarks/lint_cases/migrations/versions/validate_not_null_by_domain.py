"""A CHECK added to a domain in use.

hazards: blocks
"""

from alembic import op

revision = "validate_not_null_by_domain"
down_revision = "base_schema"
branch_labels = ("case_validate_not_null_by_domain",)


def upgrade():
    op.execute("ALTER DOMAIN percent ADD CHECK (VALUE < 100)")
