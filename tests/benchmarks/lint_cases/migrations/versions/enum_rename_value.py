"""A renamed enum value.

hazards: breaks-old
"""

from alembic import op

revision = "enum_rename_value"
down_revision = "base_schema"
branch_labels = ("case_enum_rename_value",)


def upgrade():
    op.execute("ALTER TYPE order_status RENAME VALUE 'new' TO 'fresh'")
