"""Rename, index and require in one go: right on a laptop, an outage in production."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.alter_column("users", "name", new_column_name="full_name")
    op.add_column("users", sa.Column("locale", sa.Text, nullable=False))
    op.create_index("ix_orders_status", "orders", ["status"])
    op.alter_column("orders", "note", nullable=False)


def downgrade() -> None:
    op.alter_column("orders", "note", nullable=True)
    op.drop_index("ix_orders_status", "orders")
    op.drop_column("users", "locale")
    op.alter_column("users", "full_name", new_column_name="name")
