"""`evolve rules new`, and the guide for authors of rules: what is written works, and nothing is written over."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import evolve

GUIDE = Path(__file__).parents[2] / "evolve/docs/guides/rules.md"
FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<language>\w+)\n(?P<code>.*?)^(?P=ticks)$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [block["code"] for block in FENCE.finditer(GUIDE.read_text()) if block["language"] == language]


class Shell:
    """Runs the guide's commands; pip installs to a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.here = folder / "work"
        self.here.mkdir()
        self.site = folder / "site"

    def run(self, line: str) -> str:
        program, *arguments = shlex.split(line)
        if program == "cd":
            self.here /= arguments[0]
            return ""
        if program == "pip":
            assert arguments[:2] == ["install", "--editable"]
            options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--upgrade"]
            arguments = ["install", *options, "--target", str(self.site), *arguments[2:]]
        done = subprocess.run(
            [sys.executable, "-m", program, *arguments],
            cwd=self.here,
            env={**os.environ, "PYTHONPATH": str(self.site), "COLUMNS": "110"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_the_guide_from_its_first_command_to_its_last(shell: Shell) -> None:
    first, second = blocks("sh")
    for line in first.splitlines():
        said = shell.run(line)
    assert said.startswith("# ACME101 no-tmp-columns\n")
    for line in second.splitlines()[:-1]:
        shell.run(line)

    package = shell.here / "src" / "acme_evolve"
    (package / "no_money_as_float.py").write_text(blocks("python")[-1])
    (package / "no_money_as_float.md").write_text(blocks("markdown")[0])
    shell.run("pip install --editable .")

    assert "no-money-as-float: Unsafe" in shell.run("pytest -v")
    assert "ACME102 no-money-as-float" in shell.run("evolve plugins")


def test_a_rule_for_a_plugin_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project.entry-points."evolve.plugins"]\nacme = "acme.rules:plugin"\n'
    )
    package = tmp_path / "acme" / "rules"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from acme.one import One\n"
        "from evolve.plugin_api import Plugin\n\n"
        'plugin = Plugin(\n    name="acmé", api=1,\n    rules=[\n        One,  # the first\n    ],\n)\n'
    )
    (package / "one.py").write_text('class One:\n    id = "ACME417"\n')

    done = evolve("rules", "new", "second-rule", "--format", "json", cwd=tmp_path)

    answer = json.loads(done.stdout)
    assert (answer["id"], answer["by_hand"]) == ("ACME418", None)
    assert (package / "__init__.py").read_text() == (
        "from acme.one import One\n"
        "from evolve.plugin_api import Plugin\n"
        "from acme.rules.second_rule import SecondRule\n\n"
        'plugin = Plugin(\n    name="acmé", api=1,\n    rules=[\n        One, SecondRule,  # the first\n    ],\n)\n'
    )


def test_a_list_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project.entry-points."evolve.plugins"]\nacme = "acme:plugin"\n'
    )
    (tmp_path / "acme").mkdir()
    text = "from evolve.plugin_api import Plugin\nplugin = Plugin(name='acme', api=1, rules=found())\n"
    (tmp_path / "acme" / "__init__.py").write_text(text)

    done = evolve("rules", "new", "some-rule", cwd=tmp_path)

    assert done.returncode == 0
    assert "by hand: add to" in done.stderr
    assert (tmp_path / "acme" / "__init__.py").read_text() == text


@pytest.mark.parametrize("name", ["plugin", "rule", "step", "iterator"])
def test_a_name_of_the_interface_makes_a_class_of_another_name(tmp_path: Path, name: str) -> None:
    evolve("rules", "new", name, "--plugin", "acme", cwd=tmp_path)
    package = tmp_path / "acme-evolve/src/acme_evolve"
    assert f"class {name.capitalize()}Rule(Rule):" in (package / f"{name}.py").read_text()


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = evolve("rules", "new", "some-rule", "--plugin", "acme", "--dry-run", cwd=tmp_path)
    assert "would write acme-evolve/pyproject.toml" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Some_Rule", "--plugin", "acme"], '"Some_Rule" is no name for a rule'),
        (["some-rule", "--plugin", "Acme!"], '"Acme!" is no name for a plugin'),
        (["some-rule", "--plugin", "acme", "--id", "EV999"], "ids that begin with EV belong to evolve"),
        (["some-rule", "--plugin", "acme", "--id", "x1"], '"x1" is no id'),
        (["drop-column", "--plugin", "acme"], 'there is a rule "drop-column" already'),
        (["some-rule"], "holds no plugin"),
        (["some-rule", "--plugin", "there"], 'there-evolve" is there already'),
    ],
)
def test_refusals_write_nothing(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "there-evolve").mkdir()
    done = evolve("rules", "new", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["there-evolve"]


@pytest.mark.parametrize(
    "text",
    ["not = toml = at all", '[project.entry-points."evolve.plugins"]\na = "a:p"\nb = "b:p"\n', "[project]\n"],
)
def test_a_pyproject_that_names_no_one_plugin(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    done = evolve("rules", "new", "some-rule", cwd=tmp_path)
    assert done.returncode == 2
    assert "fix:" in done.stderr
