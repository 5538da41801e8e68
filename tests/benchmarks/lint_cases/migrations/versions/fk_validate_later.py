"""VALIDATE of a foreign key in a later revision.

hazards: none
"""

from alembic import op

revision = "fk_validate_later"
down_revision = "fk_validate_later_before"
branch_labels = ("case_fk_validate_later",)


def upgrade():
    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT orders_user")
