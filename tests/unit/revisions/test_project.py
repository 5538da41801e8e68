"""Where projects are found, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.revisions.project import (
    BrokenConfiguration,
    NoConfiguration,
    NoProject,
    NoScriptDirectory,
    NoScriptLocation,
    find_project,
)


def _write(root: Path, ini: str | None = None, toml: str | None = None, scripts: str = "migrations") -> Path:
    (root / scripts / "versions").mkdir(parents=True)
    (root / scripts / "env.py").write_text("")
    if ini is not None:
        (root / "alembic.ini").write_text(ini)
    if toml is not None:
        (root / "pyproject.toml").write_text(toml)
    return root


def test_alembic_ini_names_the_script_directory(tmp_path: Path) -> None:
    project = find_project(_write(tmp_path, "[alembic]\nscript_location = migrations\n"))

    assert project.script_directory == tmp_path / "migrations"
    assert project.version_directories == (tmp_path / "migrations" / "versions",)


def test_here_is_the_directory_of_the_configuration(tmp_path: Path) -> None:
    _write(tmp_path / "conf", "[alembic]\nscript_location = %(here)s/migrations\n")

    project = find_project(tmp_path, configuration=Path("conf/alembic.ini"))

    assert project.script_directory == tmp_path / "conf" / "migrations"


def test_a_percent_sign_in_the_path_is_no_interpolation(tmp_path: Path) -> None:
    root = _write(tmp_path / "100%", "[alembic]\nscript_location = %(here)s/migrations\n")

    assert find_project(root).script_directory == root / "migrations"


def test_relative_paths_start_where_alembic_is_run(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")

    project = find_project(tmp_path, configuration=Path("conf/alembic.ini"))

    assert project.script_directory == tmp_path / "migrations"


def test_pyproject_may_hold_the_configuration(tmp_path: Path) -> None:
    toml = '[tool.alembic]\nscript_location = "%(here)s/db"\nprepend_sys_path = ["src"]\n'
    project = find_project(_write(tmp_path, toml=toml, scripts="db"))

    assert project.script_directory == tmp_path / "db"
    assert project.configuration == tmp_path / "pyproject.toml"
    assert project.source_paths == (tmp_path / "src",)


def test_an_option_of_the_ini_goes_before_that_of_pyproject(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "[alembic]\nsqlalchemy.url = postgresql://h/d\n",
        '[tool.alembic]\nscript_location = "migrations"\n',
    )

    project = find_project(tmp_path)

    assert (project.script_directory.name, project.database_url) == ("migrations", "postgresql://h/d")


@pytest.mark.parametrize(
    ("separator", "joined"),
    [("os", "a:b"), (":", "a:b"), (";", "a;b"), ("space", "a b"), ("newline", "\n  a\n  b")],
)
@pytest.mark.parametrize("option", ["path_separator", "version_path_separator"])
def test_several_version_locations(tmp_path: Path, separator: str, joined: str, option: str) -> None:
    ini = f"[alembic]\nscript_location = migrations\n{option} = {separator}\nversion_locations = {joined}\n"
    _write(tmp_path, ini)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert find_project(tmp_path).version_directories == (tmp_path / "a", tmp_path / "b")


def test_version_locations_without_a_separator_split_as_they_always_did(tmp_path: Path) -> None:
    _write(tmp_path, "[alembic]\nscript_location = migrations\nversion_locations = a, b\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert find_project(tmp_path).version_directories == (tmp_path / "a", tmp_path / "b")


def test_a_package_is_found_and_not_imported(tmp_path: Path) -> None:
    ini = "[alembic]\nscript_location = shopapp:db/migrations\nprepend_sys_path = src\n"
    (tmp_path / "src" / "shopapp" / "db" / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "src" / "shopapp" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "alembic.ini").write_text(ini)

    assert find_project(tmp_path).script_directory == tmp_path / "src" / "shopapp" / "db" / "migrations"


def test_another_section_of_the_ini(tmp_path: Path) -> None:
    _write(tmp_path, "[core]\nscript_location = migrations\n")

    assert find_project(tmp_path, section="core").script_directory == tmp_path / "migrations"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("postgresql+psycopg://u:p%%40ss@h/d", "postgresql+psycopg://u:p%40ss@h/d"),
        ("%(scheme)s://h/d\nscheme = postgresql", "postgresql://h/d"),
        ("driver://user:pass@localhost/dbname", None),
        ("%(UNKNOWN)s", None),
        ("${DATABASE_URL}", None),
        ("postgresql://${USER}@h/d", None),
        ("", None),
    ],
)
def test_the_url_is_read_unless_it_is_a_placeholder(tmp_path: Path, written: str, read: str | None) -> None:
    _write(tmp_path, f"[alembic]\nscript_location = migrations\nsqlalchemy.url = {written}\n")

    assert find_project(tmp_path).database_url == read


def test_the_password_is_not_shown(tmp_path: Path) -> None:
    _write(tmp_path, "[alembic]\nscript_location = migrations\nsqlalchemy.url = postgresql://u:secret@h/d\n")

    assert "secret" not in repr(find_project(tmp_path))


def test_no_project_names_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(NoProject) as caught:
        find_project(tmp_path)

    assert str(tmp_path / "alembic.ini") in caught.value.what
    assert str(tmp_path / "pyproject.toml") in caught.value.what


def test_no_project_points_to_one_below(tmp_path: Path) -> None:
    _write(tmp_path / "backend", "[alembic]\nscript_location = migrations\n")

    with pytest.raises(NoProject) as caught:
        find_project(tmp_path)

    assert caught.value.fix == f"name the directory: evolve -C {tmp_path / 'backend'}"


def test_no_project_points_to_the_one_around_it(tmp_path: Path) -> None:
    root = _write(tmp_path, "[alembic]\nscript_location = migrations\n")

    with pytest.raises(NoProject) as caught:
        find_project(root / "migrations" / "versions")

    assert caught.value.fix == f"name the directory: evolve -C {tmp_path}"


def _flask(root: Path, folder: str = "migrations") -> Path:
    """As Flask-Migrate writes it: no script_location, for it tells Alembic the folder itself."""
    (root / folder / "versions").mkdir(parents=True)
    (root / folder / "env.py").write_text("")
    (root / folder / "alembic.ini").write_text(
        "[alembic]\n# file_template = %%(rev)s\n[loggers]\nkeys = root\n"
    )
    return root


@pytest.mark.parametrize("folder", ["migrations", "app/migrations", "libs/shop/src/shop/storage/migrations"])
def test_flask_migrates_folder_is_found_from_the_project(tmp_path: Path, folder: str) -> None:
    project = find_project(_flask(tmp_path, folder))

    assert project.script_directory == tmp_path / folder
    assert project.root == tmp_path
    assert project.source_paths == (tmp_path,)


def test_flask_migrates_folder_is_found_from_within(tmp_path: Path) -> None:
    project = find_project(_flask(tmp_path) / "migrations")

    assert project.script_directory == tmp_path / "migrations"
    assert project.root == tmp_path


def test_flask_migrates_ini_may_be_named(tmp_path: Path) -> None:
    project = find_project(_flask(tmp_path), configuration=Path("migrations/alembic.ini"))

    assert project.script_directory == tmp_path / "migrations"
    assert project.root == tmp_path


def test_no_project_points_from_beside_flask_migrates_folder_to_the_one_around_it(tmp_path: Path) -> None:
    root = _flask(tmp_path)
    (root / "app").mkdir()

    with pytest.raises(NoProject) as caught:
        find_project(root / "app")

    assert caught.value.fix == f"name the directory: evolve -C {tmp_path}"


@pytest.mark.parametrize("run_from", [".", "shop/db/migrations"])
def test_an_ini_beside_env_py_that_names_its_folder_from_above(tmp_path: Path, run_from: str) -> None:
    folder = tmp_path / "shop/db/migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").touch()
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = ./shop/db/migrations/\n")

    project = find_project(tmp_path / run_from)

    assert (project.root, project.script_directory) == (tmp_path, folder)


def test_sections_that_have_their_script_location_of_the_defaults_are_named(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text(
        "[DEFAULT]\nscript_location = migrations\n[main]\n[static]\n[loggers]\nkeys = root\n[logger_root]\n"
    )
    (tmp_path / "pyproject.toml").write_text("[tool.shop]\n")

    with pytest.raises(NoScriptLocation) as refused:
        find_project(tmp_path)

    assert "(main, static)" in (refused.value.fix or "")


def test_several_projects_below_are_all_named(tmp_path: Path) -> None:
    _flask(tmp_path / "accounts")
    _flask(tmp_path / "billing")

    with pytest.raises(NoProject) as caught:
        find_project(tmp_path)

    fix = caught.value.fix or ""
    assert f"evolve -C {tmp_path / 'accounts' / 'migrations'}" in fix
    assert f"evolve -C {tmp_path / 'billing' / 'migrations'}" in fix


def test_of_many_projects_below_the_first_are_named(tmp_path: Path) -> None:
    for number in range(8):
        _flask(tmp_path / f"service{number}")

    with pytest.raises(NoProject) as caught:
        find_project(tmp_path)

    assert (caught.value.fix or "").endswith(f"evolve -C {tmp_path / 'service4' / 'migrations'} and 3 more")


def test_no_project_names_a_script_directory_that_no_file_configures(tmp_path: Path) -> None:
    _write(tmp_path, scripts="app/db")

    with pytest.raises(NoProject) as caught:
        find_project(tmp_path)

    assert "`script_location = app/db`" in (caught.value.fix or "")


def test_a_script_location_that_is_set_in_code_is_asked_for_by_its_folder(tmp_path: Path) -> None:
    _write(tmp_path, "[alembic]\n", scripts="app/db")

    with pytest.raises(NoScriptLocation) as caught:
        find_project(tmp_path)

    assert "`script_location = app/db`" in (caught.value.fix or "")


def test_other_sections_are_named(tmp_path: Path) -> None:
    ini = (
        "[alembic]\nscript_location = migrations\n[tenant]\nscript_location = migrations\n[loggers]\nkeys =\n"
    )

    assert find_project(_write(tmp_path, ini)).other_sections == ("tenant",)


def test_a_default_of_all_sections_makes_no_sections(tmp_path: Path) -> None:
    ini = "[DEFAULT]\nscript_location = migrations\n[alembic]\n[loggers]\nkeys =\n"

    assert find_project(_write(tmp_path, ini)).other_sections == ()


def test_databases_are_those_of_the_template_for_several(tmp_path: Path) -> None:
    ini = "[alembic]\nscript_location = migrations\ndatabases = engine1,  engine2\n"

    assert find_project(_write(tmp_path, ini)).databases == ("engine1", "engine2")


def test_version_locations_of_pyproject(tmp_path: Path) -> None:
    toml = '[tool.alembic]\nscript_location = "db"\nversion_locations = ["%(here)s/a", "b"]\n'
    _write(tmp_path, toml=toml, scripts="db")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert find_project(tmp_path).version_directories == (tmp_path / "a", tmp_path / "b")


def test_a_pyproject_without_alembic_is_no_project(tmp_path: Path) -> None:
    _write(tmp_path, toml="[tool.ruff]\nline-length = 100\n")

    with pytest.raises(NoProject):
        find_project(tmp_path)


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoConfiguration, match=r"conf/alembic\.ini"):
        find_project(tmp_path, configuration=Path("conf/alembic.ini"))


def test_a_missing_script_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n")

    with pytest.raises(NoScriptDirectory, match=str(tmp_path / "nowhere")):
        find_project(tmp_path)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = no_such_package_here:migrations\n")

    with pytest.raises(NoScriptDirectory, match="no_such_package_here:migrations"):
        find_project(tmp_path)


def test_sections_that_have_a_script_location_are_offered(tmp_path: Path) -> None:
    _write(tmp_path, "[core]\nscript_location = migrations\n[tenant]\nscript_location = migrations\n")

    with pytest.raises(NoScriptLocation) as caught:
        find_project(tmp_path)

    assert caught.value.fix is not None
    assert "core, tenant" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[alembic\nscript_location = x\n", ":1"),
        ("[alembic]\nthis is no option\n", ":2"),
        ("[alembic]\nscript_location = a\nscript_location = b\n", ":3"),
        ("[alembic]\nscript_location = %(nobody)s\n", ""),
    ],
)
def test_a_broken_ini_is_named_with_its_line(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "alembic.ini").write_text(text)

    with pytest.raises(BrokenConfiguration) as caught:
        find_project(tmp_path)

    assert f'alembic.ini{place}"' in caught.value.what


def test_an_ini_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BrokenConfiguration):
        find_project(tmp_path)


def test_a_broken_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.alembic\n")

    with pytest.raises(BrokenConfiguration, match=r"pyproject\.toml"):
        find_project(tmp_path)


def test_an_unknown_separator_names_the_known_ones(tmp_path: Path) -> None:
    _write(
        tmp_path, "[alembic]\nscript_location = migrations\npath_separator = comma\nversion_locations = a,b\n"
    )

    with pytest.raises(BrokenConfiguration, match="space, newline, os"):
        find_project(tmp_path)
