"""A renamed table, with a view under its old name.

hazards: none
"""

from alembic import op

revision = "rename_table_with_view"
down_revision = "base_schema"
branch_labels = ("case_rename_table_with_view",)


def upgrade():
    op.rename_table("parcels", "packages")
    op.execute("CREATE VIEW parcels AS SELECT * FROM packages")
