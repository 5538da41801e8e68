"""Create orders: a user has many."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, server_default="new", nullable=False),
        sa.Column("total", sa.Numeric(12, 2), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_orders_user_id"),
        sa.CheckConstraint(
            "status IN ('new', 'paid', 'shipped', 'delivered', 'cancelled')", name="ck_orders_status"
        ),
    )
    # Leads with the foreign key: "the open orders of this user" and the check of the key both use it.
    op.create_index("ix_orders_user_id_status", "orders", ["user_id", "status"])


def downgrade() -> None:
    op.drop_table("orders")
