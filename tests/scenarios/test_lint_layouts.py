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
        migrations / "versions",
        "0001",
        None,
        "def upgrade():\n    op.execute('CREATE TABLE users (id bigint)')",
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


SEVERAL = """
def upgrade(engine_name):
    globals()[f"upgrade_{{engine_name}}"]()


def upgrade_{first}():
    {first_body}


def upgrade_engine2():
    {second_body}
"""


def several_databases(
    root: Path, *bodies: tuple[str, str], ini: str = "databases = engine1, engine2\n", first: str = "engine1"
) -> Path:
    """A history of two databases; each of `bodies` is one revision: what it does in the one and in the other."""
    versions = root / "migrations" / "versions"
    for number, (first_body, second_body) in enumerate(bodies, 1):
        text = SEVERAL.format(first=first, first_body=first_body, second_body=second_body)
        revision(versions, f"{number:04}", f"{number - 1:04}" if number > 1 else None, text)
    (root / "migrations" / "env.py").write_text("from alembic import context\n")
    (root / "alembic.ini").write_text(f"[alembic]\nscript_location = migrations\n{ini}")
    return root


def sql(text: str) -> str:
    return f"op.execute({text!r})"


def names(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(finding["revision"], finding["name"]) for finding in found]


ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, note text)"
NOT_NULL = "ALTER TABLE items ALTER note SET NOT NULL"


def test_what_one_database_drops_the_other_has_still(tmp_path: Path) -> None:
    bodies = (sql(ITEMS), sql(ITEMS)), (sql("DROP TABLE items"), "pass"), ("pass", sql("DROP TABLE items"))
    root = several_databases(tmp_path, *bodies)

    found = names(findings(root, "base:heads"))

    assert [name for name in found if name[0] == "0003"] == [("0003", "drop-table")]


def test_a_table_that_is_new_in_one_database_may_be_in_use_in_the_other(tmp_path: Path) -> None:
    root = several_databases(tmp_path, ("pass", sql(ITEMS)), (sql(ITEMS), sql(NOT_NULL)))

    assert ("0002", "set-not-null-scan") in names(findings(root, "0002"))


def test_what_is_new_in_its_own_database_is_not_in_use(tmp_path: Path) -> None:
    root = several_databases(tmp_path, (sql(ITEMS), "pass"), ("pass", f"{sql(ITEMS)}; {sql(NOT_NULL)}"))

    assert ("0002", "set-not-null-scan") not in names(findings(root, "0002"))


def test_flask_migrates_first_database_has_no_name(tmp_path: Path) -> None:
    root = several_databases(
        tmp_path, (sql(ITEMS), sql(ITEMS)), ("pass", sql("DROP TABLE items")), ini="", first=""
    )

    assert names(findings(root, "base:heads")).count(("0002", "drop-table")) == 1
    assert ("0001", "name-taken") not in names(findings(root, "base:heads"))


def test_a_revision_that_asks_which_database_it_is_run_on_is_run_on_each(tmp_path: Path) -> None:
    root = several_databases(tmp_path, (sql(ITEMS), sql(ITEMS)))
    body = f"def upgrade(engine_name):\n    if engine_name == 'engine2':\n        {sql('DROP TABLE items')}"
    revision(root / "migrations" / "versions", "0002", "0001", body)

    assert ("0002", "drop-table") in names(findings(root, "0002"))


def test_a_revision_sees_the_tables_of_its_own_database_alone(tmp_path: Path) -> None:
    ask = "sa.inspect(op.get_bind()).has_table('items') and " + sql("DROP TABLE items")
    root = several_databases(tmp_path, (sql(ITEMS), "pass"), ("pass", ask))

    assert ("0002", "drop-table") not in names(findings(root, "0002"))


def test_what_is_found_of_a_file_is_told_once(tmp_path: Path) -> None:
    root = several_databases(
        tmp_path, (sql(ITEMS), sql(ITEMS)), (f"{sql('SELECT 1')}; open('x', 'w')", sql("SELECT 1"))
    )

    assert names(findings(root, "0002")).count(("0002", "side-effect")) == 1


def test_the_way_back_of_each_database_is_judged_by_itself(tmp_path: Path) -> None:
    root = several_databases(tmp_path, (sql(ITEMS), sql(ITEMS)))
    body = (
        "def upgrade(engine_name):\n    pass\n"
        "def downgrade(engine_name):\n    globals()[f'downgrade_{engine_name}']()\n"
        f"def downgrade_engine1():\n    pass\ndef downgrade_engine2():\n    {sql('DROP TABLE items')}\n"
    )
    revision(root / "migrations" / "versions", "0002", "0001", body)

    assert ("0002", "drop-table") in names(findings(root, "0002", "--downgrades"))


def test_several_databases_are_not_verified_on_one(tmp_path: Path) -> None:
    root = several_databases(tmp_path, (sql(ITEMS), sql(ITEMS)))

    done = evolve("lint", "base:heads", "--verify", cwd=root)

    assert (done.returncode, 'these are for 2: "engine1", "engine2"' in done.stderr) == (2, True), done.stderr
