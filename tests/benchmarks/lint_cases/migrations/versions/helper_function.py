"""A helper that hides the statement.

hazards: blocks
"""

from alembic import op

revision = "helper_function"
down_revision = "base_schema"
branch_labels = ("case_helper_function",)


def _index(table, *columns):
    op.create_index("_".join((table, *columns)), table, list(columns))


def upgrade():
    _index("orders", "placed")
