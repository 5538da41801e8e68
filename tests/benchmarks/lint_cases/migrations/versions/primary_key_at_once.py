"""A primary key that builds its index.

hazards: blocks
"""

from alembic import op

revision = "primary_key_at_once"
down_revision = "base_schema"
branch_labels = ("case_primary_key_at_once",)


def upgrade():
    op.execute("ALTER TABLE events_2026 ADD PRIMARY KEY (id)")
