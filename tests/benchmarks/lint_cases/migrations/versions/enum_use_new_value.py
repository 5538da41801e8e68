"""An enum value used in the transaction that adds it.

hazards: fails
"""

from alembic import op

revision = "enum_use_new_value"
down_revision = "base_schema"
branch_labels = ("case_enum_use_new_value",)


def upgrade():
    op.execute("ALTER TYPE order_status ADD VALUE 'sent'")
    op.execute("UPDATE orders SET status = 'sent' WHERE id = 1")
