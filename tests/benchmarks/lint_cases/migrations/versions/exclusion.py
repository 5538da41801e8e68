"""An EXCLUDE constraint.

hazards: blocks
"""

from alembic import op

revision = "exclusion"
down_revision = "base_schema"
branch_labels = ("case_exclusion",)


def upgrade():
    op.execute("ALTER TABLE orders ADD CONSTRAINT one EXCLUDE (id WITH =)")
