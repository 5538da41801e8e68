"""ATTACH PARTITION behind CHECKs that prove it.

hazards: none
"""

from alembic import op

revision = "attach_with_checks"
down_revision = "attach_with_checks_before"
branch_labels = ("case_attach_with_checks",)


def upgrade():
    op.execute("ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM (2026) TO (2027)")
