"""A scratch Alembic project whose only revision makes the schema of a scene."""

from __future__ import annotations

import re
from pathlib import Path

FIRST = "first"

_INI = """[alembic]
script_location = migrations
sqlalchemy.url = {url}
"""

_ENV = """from alembic import context
from sqlalchemy import create_engine, pool

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", transaction_per_migration=True, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
"""

_MAKO = '''"""${message}"""
${imports if imports else ""}
from alembic import op
import sqlalchemy as sa

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''

_REVISION = '''"""What the scene begins with."""

from alembic import op

revision = "first"
down_revision = None


def upgrade():
    op.execute({sql!r})


def downgrade():
    pass
'''


def write_project(directory: Path, url: str, schema: str) -> None:
    """
    Args:
        directory: where alembic.ini will lie; made if it is not there.
        url: libpq's, of the database.
        schema: SQL of the revision `FIRST`.
    """
    versions = directory / "migrations" / "versions"
    versions.mkdir(parents=True)
    # A colon before a word would be a bound parameter.
    text = re.sub(r"(?<!:):(?=\w)", r"\\:", schema)
    for path, content in (
        (directory / "alembic.ini", _INI.format(url=sqlalchemy_url(url).replace("%", "%%"))),
        (directory / "migrations" / "env.py", _ENV),
        (directory / "migrations" / "script.py.mako", _MAKO),
        (versions / f"{FIRST}.py", _REVISION.format(sql=text)),
    ):
        path.write_text(content, encoding="utf-8")


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
