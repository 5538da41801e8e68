"""`--sql` of every recipe from its start to its end, run by psql: where databases are changed by scripts alone."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from support.alembic_project import ENV, AlembicProject, sqlalchemy_url
from support.change_project import ChangeProject
from support.programs import dump, psql
from support.whole_change import write_whole_change

from evolve.plan.gate_sql import SHUT
from evolve.plan.recipes import kinds

pytestmark = pytest.mark.server

RECIPES = Path(__file__).parent / "recipes"
# Of each scene its file and class.
SCENES = [
    (path.stem, name)
    for path in sorted(RECIPES.glob("test_*.py"))
    for name in re.findall(r"^class (\w+)\(SceneContract\):", path.read_text(), re.MULTILINE)
]
# Schema and plan of what no scene shows.
OTHERS = {
    "TestChangeGeneratedColumn": (
        """
        CREATE TABLE items (
            id bigint PRIMARY KEY, price int NOT NULL, cents int NOT NULL GENERATED ALWAYS AS (price * 100) STORED
        );
        INSERT INTO items (id, price) SELECT n, n FROM generate_series(1, 400) n;
        """,
        ("change-generated-column", "items.cents", "price * 100 + price % 7"),
    ),
}
IMPOSSIBLE = {"add-exclude"}  # it is always refused
# In every run: a backfill with a gate behind it, statements that commit alone, percent signs, and scripts back.
QUICK = {"TestRenameColumn", "TestReplaceIndex", "TestChangeGeneratedColumn"}
ONE_TRANSACTION = ENV.replace(", transaction_per_migration=True", "").replace(
    "transaction_per_migration=True, ", ""
)

Change = tuple[str, tuple[str, ...]]


def change(file: str | None, name: str) -> Change:
    """Schema and plan."""
    if file is None:
        return OTHERS[name]
    scene = runpy.run_path(str(RECIPES / f"{file}.py"))[name].scene
    return scene.schema, scene.plan


def changes(quick: set[str]) -> pytest.MarkDecorator:
    found = [*SCENES, *((None, name) for name in OTHERS)]
    return pytest.mark.parametrize(
        ("file", "name"),
        [
            pytest.param(
                file, name, id=name.removeprefix("Test"), marks=() if name in quick else pytest.mark.long
            )
            for file, name in found
        ],
    )


@pytest.mark.long
def test_every_recipe_is_tried() -> None:
    tried = {change(file, name)[1][0] for file, name in SCENES} | {plan[0] for _, plan in OTHERS.values()}
    assert tried == {*kinds()} - IMPOSSIBLE


@changes(QUICK)
def test_scripts_do_what_the_revisions_do(
    file: str | None,
    name: str,
    make_project: Callable[..., AlembicProject],
    make_database: Callable[..., str],
) -> None:
    """In an empty database to the end, and back to the start; as one transaction but for what commits alone."""
    schema, plan = change(file, name)
    planned, scripted, upgraded = make_database(), make_database(), make_database()
    project = ChangeProject(make_project(planned, env=ONE_TRANSACTION), planned, schema)
    write_whole_change(project, *plan)

    done = psql(scripted, project.ok("upgrade", "base:head", "--sql"))

    assert done.returncode == 0, done.stderr
    alembic(command.upgrade, project, upgraded, "head")
    assert dump(scripted) == dump(upgraded)

    done = psql(scripted, project.ok("downgrade", "head:first", "--sql"))
    assert done.returncode == 0, done.stderr
    alembic(command.downgrade, project, upgraded, "first")
    assert dump(scripted) == dump(upgraded)


def alembic(act: Callable[[Config, str], None], project: ChangeProject, url: str, to: str) -> None:
    with chdir(project.root), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the project's own env.py and configuration
        config = Config("alembic.ini")
        config.set_main_option("sqlalchemy.url", sqlalchemy_url(url).replace("%", "%%"))
        act(config, to)


@changes({"TestRenameColumn"})
def test_scripts_stop_at_rows_that_are_left_and_go_on_behind_them(
    file: str | None,
    name: str,
    make_project: Callable[..., AlembicProject],
    make_database: Callable[..., str],
) -> None:
    """In a database with more rows than a revision brings up to date by itself; each revision in its transaction."""
    schema, plan = change(file, name)
    scripted, upgraded = make_database(), make_database()
    schema = re.sub(r"(generate_series\(1, |% )[234]00\b", r"\g<1>6000", schema)
    project = ChangeProject(make_project(scripted), scripted, schema)
    project.ok("upgrade", "--database-url", upgraded)
    whole = write_whole_change(project, *plan)
    stopped = []

    for phase in whole.plan.phases:
        if phase.name in whole.ends:
            done = psql(scripted, script(project, whole.ends[phase.name]))
            assert done.returncode == 0, done.stderr
            project.ok("upgrade", whole.ends[phase.name], "--database-url", upgraded)
        if phase.backfills:
            done = psql(scripted, script(project, "head"))
            if done.returncode and SHUT in done.stderr:
                stopped.append(phase)
                assert any(f"evolve backfill run {each.name} " in done.stderr for each in phase.backfills)
        for backfill in phase.backfills:
            for url in (scripted, upgraded):
                project.ok("backfill", "run", backfill.name, "--quiet", "--database-url", url)

    assert stopped == [phase for phase in whole.plan.phases if phase.backfills]
    assert dump(scripted, "--exclude-schema=evolve") == dump(upgraded, "--exclude-schema=evolve")


def script(project: ChangeProject, to: str) -> str:
    """From where the project's database is."""
    ((at,),) = project.sql("SELECT version_num FROM alembic_version")
    return project.ok("upgrade", f"{at}:{to}", "--sql")


def test_percent_signs_are_those_of_the_revision(make_project: Callable[..., AlembicProject]) -> None:
    """Alembic writes two of each where env.py does not ask for anything else, since drivers want that."""
    project = make_project(env=ENV)
    project.add("one", "op.execute(\"COMMENT ON TABLE t IS '7 % 3'\")")
    done = subprocess.run(
        [sys.executable, "-m", "evolve", "upgrade", "--sql"],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "COMMENT ON TABLE t IS '7 % 3';" in done.stdout
