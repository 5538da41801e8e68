"""An enum value that nothing uses yet.

hazards: none
"""

from alembic import op

revision = "enum_add_value"
down_revision = "base_schema"
branch_labels = ("case_enum_add_value",)


def upgrade():
    op.execute("ALTER TYPE order_status ADD VALUE 'sent'")
