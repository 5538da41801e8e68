"""REINDEX TABLE CONCURRENTLY.

hazards: none
"""

from alembic import op

revision = "reindex_concurrently"
down_revision = "base_schema"
branch_labels = ("case_reindex_concurrently",)


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("REINDEX TABLE CONCURRENTLY orders")
