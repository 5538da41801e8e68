"""The third party's plugin in sample_projects, installed by pip as a user would: found, accepted, working."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolve.lint.history import History
from evolve.lint.rule import Rule
from evolve.sql.parse import parse
from evolve.sql.schema import Schema
from evolve.sql.steps import CapturedStatement, Place, Step

ACME = Path(__file__).parents[2] / "sample_projects" / "acme_plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed it to; nothing else is in it."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(ACME)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def python(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_found_and_accepted_beside_our_own(installed: Path) -> None:
    code = """
import json
from evolve.plugin_loader import load_plugins
print(json.dumps({item.plugin.name: str(item.origin) for item in load_plugins()}))
"""
    done = python(installed, "-c", code)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["acme"] == "acme-evolve 1.0.0"
    assert "range" in found


def test_its_method_can_be_named(installed: Path) -> None:
    code = """
from evolve.plugin_loader import load_plugins, partitioners
print(partitioners(load_plugins())["fiscal-quarter"].__module__)
"""
    assert python(installed, "-c", code).stdout.strip() == "acme_evolve.fiscal_quarter"


def test_its_recipe_is_a_command_like_our_own(installed: Path) -> None:
    listed = python(installed, "-m", "evolve", "plan", "list", "--format", "json")
    assert "acme-add-audit-columns" in [recipe["kind"] for recipe in json.loads(listed.stdout)["recipes"]]
    helped = python(installed, "-m", "evolve", "plan", "acme-add-audit-columns", "--help")
    assert "Give a table the columns that the auditors ask for." in helped.stdout


def test_its_own_tests_pass_on_what_was_installed(installed: Path) -> None:
    done = python(
        installed,
        *("-m", "pytest", str(ACME / "tests"), "-c", str(ACME / "pyproject.toml")),
        *("-q", "-p", "no:cacheprovider", "--import-mode=importlib"),
    )
    assert done.returncode == 0, done.stdout


def test_it_imports_nothing_of_evolve_but_its_published_modules() -> None:
    imported = {
        module
        for file in (ACME / "src").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for module in modules(node)
        if module.partition(".")[0] == "evolve"
    }
    assert imported == {"evolve.plugin_api", "evolve.recipe_api"}


def modules(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names):
            return [name.name for name in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case _:
            return []


# -- its rule


@pytest.fixture
def rule(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rule]:
    monkeypatch.syspath_prepend(str(installed))
    from acme_evolve import plugin  # pyright: ignore[reportMissingImports]  # installed a moment ago

    [kind] = plugin.rules
    yield kind()
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_evolve"]:
        del sys.modules[name]


def findings(rule: Rule, sql: str) -> list[str]:
    statement = CapturedStatement(sql, Place(Path("0001_parcels.py"), 12), transaction=1)
    steps = [Step(operation, statement, "0001") for operation in parse(sql)]
    return [
        f"{finding.rule} {finding.place.line} {finding.message}"
        for step in steps
        for finding in rule.check(step, History(Schema()))
    ]


def test_its_rule_finds_a_table_without_created_at(rule: Rule) -> None:
    assert findings(rule, "CREATE TABLE parcels (id bigint PRIMARY KEY)") == [
        'ACME101 12 the new table "parcels" has no column "created_at"'
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE parcels (id bigint PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now())",
        "CREATE TABLE parcels_2026 PARTITION OF parcels FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "CREATE TEMPORARY TABLE found AS SELECT 1 AS id",
        "ALTER TABLE parcels ADD COLUMN weight numeric",
    ],
)
def test_its_rule_leaves_the_rest_alone(rule: Rule, sql: str) -> None:
    assert findings(rule, sql) == []


def test_evolve_lint_asks_its_rule_as_well(installed: Path, tmp_path: Path) -> None:
    project = tmp_path / "events"
    shutil.copytree(ACME.parent / "events", project)
    (project / "migrations" / "versions" / "0003_parcels.py").write_text(
        """
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.create_table("parcels", sa.Column("id", sa.BigInteger, primary_key=True))
"""
    )
    done = python(installed, "-m", "evolve", "lint", "-C", str(project), "--fail-on", "warning", "0003")
    assert (done.returncode, "0003_parcels.py:10: warning ACME101" in done.stdout) == (1, True)


def test_evolve_explains_its_rule(installed: Path) -> None:
    done = python(installed, "-m", "evolve", "explain", "ACME101")
    assert (done.returncode, "retention works by age" in done.stdout) == (0, True)


def test_its_rule_has_a_page(rule: Rule) -> None:
    assert rule.page.startswith(f"# {rule.id} {rule.name}\n")
