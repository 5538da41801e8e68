"""Alembic projects written file by file, for tests of how revisions are found and read."""

from __future__ import annotations

import textwrap
from pathlib import Path

from evolve.revisions.capture import capture
from evolve.revisions.history import History, read_history
from evolve.revisions.project import Project, find_project
from evolve.revisions.reflection import Reflection
from evolve.sql.steps import CapturedStatement, Mark, Recording

ENV = """
from alembic import context

def run_migrations_online():
    with make_engine().connect() as connection:
        context.configure(connection=connection{settings})
        with context.begin_transaction():
            context.run_migrations()

run_migrations_online()
"""


class Revisions:
    """A project in `root`; its revisions form one line unless told otherwise."""

    def __init__(self, root: Path, *, settings: str = "", ini: str = "", env: str | None = None) -> None:
        self.root = root
        self.versions = root / "migrations" / "versions"
        self.versions.mkdir(parents=True)
        self._last: str | None = None
        (root / "alembic.ini").write_text(f"[alembic]\nscript_location = migrations\n{ini}")
        written = env if env is not None else ENV.replace("{settings}", f", {settings}" if settings else "")
        (root / "migrations" / "env.py").write_text(written)

    def add(
        self, revision: str, upgrade: str = "pass", *, head: str = "", after: object = ..., **options: object
    ) -> Path:
        """Write a revision: `upgrade` is the body of upgrade(), `head` further lines above it."""
        down = self._last if after is ... else after
        lines = [
            f'"""{options.pop("message", revision)}"""',
            "import sqlalchemy as sa",
            "from alembic import op",
            f"revision = {revision!r}",
            f"down_revision = {down!r}",
            *(f"{name} = {value!r}" for name, value in options.items()),
            textwrap.dedent(head).strip(),
            "def upgrade():",
            textwrap.indent(textwrap.dedent(upgrade).strip() or "pass", "    "),
            "def downgrade():",
            f"    op.drop_table({revision!r})",
        ]
        self._last = revision
        return self.write(f"{revision}.py", "\n".join(lines) + "\n")

    def write(self, name: str, text: str) -> Path:
        """Write any file of the versions directory as it is."""
        file = self.versions / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    @property
    def project(self) -> Project:
        return find_project(self.root)

    @property
    def history(self) -> History:
        return read_history(self.project)

    def capture(self, *, time_limit: float = 10.0, reflect: Reflection | None = None) -> list[Recording]:
        history = self.history
        return capture(
            self.project,
            history.order(history.ancestors(history.heads)),
            time_limit=time_limit,
            reflect=reflect,
        )

    def capture_one(
        self, upgrade: str, *, head: str = "", time_limit: float = 10.0, reflect: Reflection | None = None
    ) -> Recording:
        """Read one more revision alone."""
        revision = f"r{len(list(self.versions.iterdir()))}"
        self.add(revision, upgrade, head=head)
        return capture(
            self.project, [self.history.revisions[revision]], time_limit=time_limit, reflect=reflect
        )[0]


def sql_of(recording: Recording) -> list[str]:
    """Statements on one line each, blanks joined."""
    return [" ".join(statement.sql.split()) for statement in recording.statements]


def transactions(statements: list[CapturedStatement] | tuple[CapturedStatement, ...]) -> list[int | None]:
    return [statement.transaction for statement in statements]


def marks(recording: Recording) -> set[Mark]:
    return {remark.mark for remark in recording.remarks}
