"""Applied before unique_using_index."""

from alembic import op

revision = "unique_using_index_before"
down_revision = "base_schema"
branch_labels = ("case_unique_using_index_before",)


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("users_email", "users", ["email"], unique=True, postgresql_concurrently=True)
