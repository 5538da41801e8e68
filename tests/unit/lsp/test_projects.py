"""Which project a file belongs to, and when that is looked at again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject

from evolve.config import load
from evolve.config_table import UnknownKey
from evolve.lint.rules import ALL
from evolve.lsp.projects import Projects


@pytest.fixture
def projects() -> Projects:
    return Projects(ALL, None, load)


@pytest.fixture
def project(make_project: Callable[..., AlembicProject]) -> AlembicProject:
    made = make_project()
    made.add("a1", "pass")
    return made


def test_a_revision_belongs_to_the_project_above_it(projects: Projects, project: AlembicProject) -> None:
    held = projects.around(project.versions / "a1.py")
    assert held is not None
    assert held.project.root == project.root


def test_what_lies_beside_the_revisions_belongs_to_none(projects: Projects, project: AlembicProject) -> None:
    assert projects.around(project.root / "migrations" / "env.py") is None


def test_settings_above_may_name_the_project(projects: Projects, project: AlembicProject) -> None:
    (project.root / "alembic.ini").rename(project.root / "migrations" / "db.ini")
    (project.root / "evolve.toml").write_text('alembic_config = "migrations/db.ini"\n')
    held = projects.around(project.versions / "a1.py")
    assert held is not None
    assert held.project.configuration.name == "db.ini"


def test_a_revision_of_another_section_is_found(projects: Projects, project: AlembicProject) -> None:
    other = project.root / "tenants" / "versions"
    other.mkdir(parents=True)
    with (project.root / "alembic.ini").open("a") as ini:
        ini.write("\n[tenant]\nscript_location = tenants\n")
    held = projects.around(other / "t1.py")
    assert held is not None
    assert held.project.section == "tenant"


def test_a_file_reached_through_a_link_is_known(
    projects: Projects, project: AlembicProject, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(project.root)
    file = tmp_path / "link" / "migrations" / "versions" / "a1.py"
    held = projects.around(file)
    assert held is not None
    known = held.known_as(file)
    assert known in {each.path for each in held.history.revisions.values()}


def test_nothing_is_read_again_while_nothing_changes(projects: Projects, project: AlembicProject) -> None:
    file = project.versions / "a1.py"
    assert projects.around(file) is projects.around(file)


def test_a_new_revision_is_seen(projects: Projects, project: AlembicProject) -> None:
    projects.around(project.versions / "a1.py")
    project.add("b2", "pass")
    held = projects.around(project.versions / "a1.py")
    assert held is not None
    assert set(held.history.revisions) == {"a1", "b2"}


def test_settings_that_were_broken_are_read_again(projects: Projects, project: AlembicProject) -> None:
    file, settings = project.versions / "a1.py", project.root / "evolve.toml"
    settings.write_text("wrong = 1\n")
    with pytest.raises(UnknownKey):
        projects.around(file)
    settings.unlink()
    assert projects.around(file) is not None
