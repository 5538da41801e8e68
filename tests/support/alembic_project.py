"""An Alembic project made for one test: env.py, revisions given as text, on the test's own database."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

ENV = """
from alembic import context
from sqlalchemy import create_engine, pool

config = context.config


def run() -> None:
    engine = create_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", transaction_per_migration=True, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run()
"""

MAKO = '''"""${message}"""
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


class AlembicProject:
    """
    Args:
        root: holds alembic.ini; revisions lie in root/migrations/versions.
    """

    def __init__(self, root: Path, url: str | None = None, *, env: str = ENV) -> None:
        self.root = root
        self.versions = root / "migrations" / "versions"
        self.versions.mkdir(parents=True)
        url_line = f"sqlalchemy.url = {sqlalchemy_url(url).replace('%', '%%')}\n" if url else ""
        (root / "alembic.ini").write_text(f"[alembic]\nscript_location = migrations\n{url_line}")
        (root / "migrations" / "env.py").write_text(env)
        (root / "migrations" / "script.py.mako").write_text(MAKO)
        self.head: str | None = None

    def add(
        self, revision: str, upgrade: str, downgrade: str = "pass", *, after: str | object | None = ...
    ) -> Path:
        """Write a revision on top of the last one (or of `after`); bodies are Python statements."""
        down = self.head if after is ... else after
        file = self.versions / f"{revision}.py"
        file.write_text(
            f'"""{revision}"""\n\nfrom alembic import op\nimport sqlalchemy as sa\n\n'
            f"revision = {revision!r}\ndown_revision = {down!r}\n\n\n"
            f"def upgrade():\n{_body(upgrade)}\n\n\ndef downgrade():\n{_body(downgrade)}\n"
        )
        self.head = revision
        return file


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., AlembicProject]:
    def make(url: str | None = None, **options: str) -> AlembicProject:
        return AlembicProject(tmp_path / "project", url, **options)

    return make


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _body(code: str) -> str:
    return textwrap.indent(textwrap.dedent(code).strip() or "pass", "    ")
