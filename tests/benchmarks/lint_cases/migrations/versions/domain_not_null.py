"""NOT NULL for every column of a domain.

hazards: blocks breaks-old
"""

from alembic import op

revision = "domain_not_null"
down_revision = "base_schema"
branch_labels = ("case_domain_not_null",)


def upgrade():
    op.execute("ALTER DOMAIN percent SET NOT NULL")
