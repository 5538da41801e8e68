"""`evolve lint` in projects that are laid out otherwise than `alembic init` does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.command_line import evolve

REVISION = """
from alembic import op
import sqlalchemy as sa
revision = {revision!r}
down_revision = {down!r}
{body}
"""


def revision(folder: Path, name: str, down: str | None, body: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(REVISION.format(revision=name, down=down, body=body))


def findings(root: Path, *words: str) -> list[dict[str, Any]]:
    done = evolve("lint", *words, "--format", "json", cwd=root)
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


def flask_project(root: Path) -> Path:
    migrations = root / "migrations"
    revision(
        migrations / "versions", "0001", None, "def upgrade():\n    op.execute('CREATE TABLE users (id bigint)')"
    )
    revision(migrations / "versions", "0002", "0001", "def upgrade():\n    op.drop_table('users')")
    (migrations / "env.py").write_text("from flask import current_app\n")
    (migrations / "alembic.ini").write_text("[alembic]\n[loggers]\nkeys = root\n")
    return root


def test_flask_migrates_project_is_linted_without_configuration(tmp_path: Path) -> None:
    found = findings(flask_project(tmp_path), "0002")

    assert "drop-table" in {finding["name"] for finding in found}


def test_flask_migrates_project_is_linted_from_its_folder(tmp_path: Path) -> None:
    found = findings(flask_project(tmp_path) / "migrations", "0002")

    assert "drop-table" in {finding["name"] for finding in found}


def two_sections(root: Path) -> Path:
    sections = ""
    for name in ("alembic", "tenant"):
        revision(
            root / name / "versions",
            f"{name}1",
            None,
            f"def upgrade():\n    op.execute('CREATE TABLE {name} (id bigint)')",
        )
        (root / name / "env.py").write_text("")
        sections += f"[{name}]\nscript_location = {name}\n"
    (root / "alembic.ini").write_text(sections)
    return root


def test_the_section_that_is_read_is_named_with_the_others(tmp_path: Path) -> None:
    done = evolve("lint", "base:heads", cwd=two_sections(tmp_path))

    assert "reading [alembic] of alembic.ini; for the others: -n tenant" in done.stderr


def test_another_section_is_read_when_named(tmp_path: Path) -> None:
    done = evolve("lint", "tenant1", "-n", "tenant", cwd=two_sections(tmp_path))

    assert done.returncode == 0, done.stderr


def test_another_section_is_read_when_the_settings_name_it(tmp_path: Path) -> None:
    (two_sections(tmp_path) / "evolve.toml").write_text('alembic_section = "tenant"\n')

    done = evolve("lint", "tenant1", cwd=tmp_path)

    assert done.returncode == 0, done.stderr


def test_a_section_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    done = evolve("lint", "base:heads", "-n", "nobody", cwd=two_sections(tmp_path))

    assert done.returncode == 2
    assert "alembic, tenant" in done.stderr
