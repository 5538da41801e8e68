"""A storage parameter.

hazards: none
"""

from alembic import op

revision = "set_fillfactor"
down_revision = "base_schema"
branch_labels = ("case_set_fillfactor",)


def upgrade():
    op.execute("ALTER TABLE orders SET (fillfactor = 80)")
