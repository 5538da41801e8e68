"""NOT NULL with DEFAULT NULL, which is no default.

hazards: breaks-old fails
"""

from alembic import op

revision = "add_column_required_default_null"
down_revision = "base_schema"
branch_labels = ("case_add_column_required_default_null",)


def upgrade():
    op.execute("ALTER TABLE users ADD COLUMN city text NOT NULL DEFAULT NULL")
