"""Run the migrations: each revision in a transaction of its own."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import pool

from events.database import create_engine
from events.models import Base

config = context.config
url = config.get_alembic_option("sqlalchemy.url") or os.environ.get(
    "EVENTS_DATABASE_URL", "postgresql://localhost/events"
)

# One transaction per revision: a lock is held for one small change, never for a whole night's worth of them.
options = {"target_metadata": Base.metadata, "transaction_per_migration": True}

if context.is_offline_mode():
    context.configure(url=url, dialect_name="postgresql", literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(url, application_name="events-migrations", poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
