"""`evolve lint --import-ignores`: what other tools were told to ignore is ignored here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import evolve

INDEX = "CREATE INDEX by_email ON orders (email);\n"
CHECK = "ALTER TABLE orders ADD CHECK (total > 0);\n"


def lint(directory: Path, tool: str, *more: str) -> tuple[int, list[str], list[str], str]:
    """Exit status, what was found, the reasons for what was not, and stderr."""
    done = evolve("lint", "a.sql", "--import-ignores", tool, "--format", "json", *more, cwd=directory)
    report = json.loads(done.stdout) if done.stdout else {"findings": [], "suppressed": []}
    names = [finding["name"] for finding in report["findings"]]
    return done.returncode, names, [each["reason"] for each in report["suppressed"]], done.stderr


@pytest.mark.parametrize(
    ("tool", "name", "text", "reason"),
    [
        (
            "squawk",
            ".squawk.toml",
            'excluded_rules = ["require-concurrent-index-creation"]',
            ".squawk.toml ignores require-concurrent-index-creation",
        ),
        ("zdm", "pyproject.toml", '[tool.zdm]\nignore = ["R003"]', "pyproject.toml ignores R003"),
        (
            "zdm",
            "zero-downtime-migrations.toml",
            'ignore = ["R001"]',
            "zero-downtime-migrations.toml ignores R001",
        ),
        (
            "strong_migrations",
            "config/initializers/strong_migrations.rb",
            "StrongMigrations.start_after = 1\nStrongMigrations.disable_check(:add_index)\n",
            "strong_migrations.rb ignores add_index",
        ),
    ],
)
def test_list_of_a_tool(tmp_path: Path, tool: str, name: str, text: str, reason: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    (tmp_path / "a.sql").write_text(INDEX + CHECK)

    assert lint(tmp_path, tool)[1:3] == (["add-check-validated"], [reason])


def test_list_of_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / ".squawk.toml").write_text('excluded_rules = ["require-concurrent-index-creation"]')
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/a.sql").write_text(INDEX)

    assert lint(tmp_path / "inside", "squawk")[0] == 0


def test_name_without_an_equivalent_is_told(tmp_path: Path) -> None:
    (tmp_path / ".squawk.toml").write_text('excluded_rules = ["no-such-thing"]')
    (tmp_path / "a.sql").write_text(INDEX)

    status, found, _, said = lint(tmp_path, "squawk")

    assert (status, found) == (1, ["create-index-blocking"])
    assert f"{tmp_path}/.squawk.toml ignores what evolve has no rule for: no-such-thing" in said


@pytest.mark.parametrize(
    ("tool", "text", "found"),
    [
        (
            "squawk",
            f"-- squawk-ignore require-concurrent-index-creation\n{INDEX}{CHECK}",
            ["add-check-validated"],
        ),
        ("squawk", f"-- squawk-ignore\n{INDEX}{CHECK}", ["add-check-validated"]),
        ("squawk", f"{INDEX}{CHECK}-- squawk-ignore-file\n", []),
        (
            "squawk",
            f"{INDEX}{INDEX}{CHECK}-- squawk-ignore-file require-concurrent-index-creation\n",
            ["add-check-validated"],
        ),
        ("eugene", f"-- eugene: ignore E6\n{INDEX}{CHECK}", ["add-check-validated"]),
        ("eugene", f"-- squawk-ignore\n{INDEX}", ["create-index-blocking"]),
    ],
)
def test_comments_of_a_tool(tmp_path: Path, tool: str, text: str, found: list[str]) -> None:
    (tmp_path / ".squawk.toml").write_text("")
    (tmp_path / "a.sql").write_text(text)

    assert lint(tmp_path, tool)[1] == found


def test_tool_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / ".squawk.toml").write_text('excluded_rules = ["require-concurrent-index-creation"]')
    (tmp_path / "evolve.toml").write_text('[lint]\nimport_ignores = ["squawk"]\n')
    (tmp_path / "a.sql").write_text(INDEX)

    assert evolve("lint", "a.sql", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("tool", "text", "said"),
    [
        ("nobody", None, 'evolve reads no ignore list of "nobody"'),
        ("squawk", None, "squawk has no ignore list here: no .squawk.toml"),
        ("squawk", "excluded_rules = 3", "excluded_rules must be a list of names"),
        ("squawk", "excluded_rules = [", "it is not TOML"),
    ],
)
def test_wrong_question(tmp_path: Path, tool: str, text: str | None, said: str) -> None:
    (tmp_path / "a.sql").write_text(INDEX)
    if text is not None:
        (tmp_path / ".squawk.toml").write_text(text)

    status, _, _, error = lint(tmp_path, tool)

    assert (status, said in error) == (2, True)
