"""`pytest --evolve` in projects of its users: what it adds, what it finds, and that it is silent where nobody asks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import evolve

from evolve.postgres.scratch import Server

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "sample_projects/shop"
NAMES = re.compile(r"^(evolve::\S+)$", re.MULTILINE)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


@pytest.fixture
def its_server(scratch_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scratch databases of the runs below are made on the server of this one."""
    monkeypatch.setenv("EVOLVE_SCRATCH", "url")
    monkeypatch.setenv("EVOLVE_SCRATCH_URL", scratch_server.url)


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SHOP_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def names(folder: Path, *arguments: str) -> list[str]:
    done = run(folder, *arguments, "--collect-only", "-q")
    assert done.returncode in (0, 5), done.stdout + done.stderr
    return NAMES.findall(done.stdout)


def write_revision(
    shop: Path, body: str, downgrade: str = "pass", revision: str = "0006", down: str = "0005"
) -> None:
    (shop / f"migrations/versions/{revision}_new.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        f'revision = "{revision}"\ndown_revision = "{down}"\n\n\n'
        f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    {downgrade}\n"
    )


def test_without_the_option_nothing_is_added(shop: Path) -> None:
    (shop / "test_own.py").write_text("def test_own():\n    pass\n")
    done = run(shop, "-q")
    assert (done.returncode, "1 passed" in done.stdout) == (0, True)


def test_what_is_added(shop: Path) -> None:
    assert names(shop, "--evolve", "--evolve-revisions", "0003:") == [
        "evolve::lint[0004]",
        "evolve::lint[0005]",
        "evolve::heads",
        "evolve::round-trip[0004]",
        "evolve::round-trip[0005]",
        "evolve::models",
    ]


def test_checks_are_chosen_in_the_settings(shop: Path) -> None:
    (shop / "pytest.ini").write_text("[pytest]\nevolve_checks = heads lint\n")
    assert names(shop, "--evolve", "--evolve-revisions", "0005") == ["evolve::lint[0005]", "evolve::heads"]


def test_expressions_choose_among_them(shop: Path) -> None:
    assert names(shop, "--evolve", "--evolve-revisions", "0005", "-k", "lint or models") == [
        "evolve::lint[0005]",
        "evolve::models",
    ]


def test_only_leaves_the_tests_of_the_project_alone(shop: Path) -> None:
    (shop / "test_own.py").write_text("raise RuntimeError('imported')\n")
    done = run(shop, "--evolve=only", "-q", "-k", "heads")
    assert (done.returncode, "1 passed" in done.stdout) == (0, True)


def test_a_project_elsewhere(shop: Path) -> None:
    (shop.parent / "pytest.ini").write_text("[pytest]\nevolve_directory = shop\nevolve_checks = lint\n")
    assert names(shop.parent, "--evolve=only", "--evolve-revisions", "0005") == ["evolve::lint[0005]"]


def test_a_finding_fails_with_its_safe_form(shop: Path) -> None:
    shutil.copy(next((shop / "bad_revisions").glob("*.py")), shop / "migrations/versions")
    done = run(shop, "--evolve=only", "--evolve-revisions", "0005:", "-k", "lint")
    assert done.returncode == 1
    assert "error EV202 rename-column" in done.stdout
    assert "fix: evolve plan rename-column users.name full_name" in done.stdout
    assert "Traceback" not in done.stdout


def test_two_heads_are_named(shop: Path) -> None:
    write_revision(shop, "pass")
    write_revision(shop, "pass", revision="0007")
    done = run(shop, "--evolve=only", "-k", "heads")
    assert done.returncode == 1
    assert "alembic merge 0006 0007" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["--evolve=all"], "", "invalid choice: 'all'"),
        (["--evolve"], "evolve_checks = lint roundtrip\n", "there is no check 'roundtrip'"),
        (["--evolve"], "evolve_rows = many\n", "'many' is no number of rows"),
        (["--evolve", "--evolve-revisions", "9999"], "", "9999"),
        (["--evolve"], "evolve_directory = nowhere\n", "there is no Alembic project"),
    ],
)
def test_a_wrong_question_ends_pytest(shop: Path, arguments: list[str], settings: str, words: str) -> None:
    (shop / "pytest.ini").write_text(f"[pytest]\n{settings}")
    done = run(shop, *arguments)
    assert done.returncode == 4
    assert words in done.stderr + done.stdout
    assert "INTERNALERROR" not in done.stderr + done.stdout


@pytest.mark.server
@pytest.mark.usefixtures("its_server")
def test_new_revisions_that_are_well(shop: Path) -> None:
    write_revision(
        shop,
        'op.create_table("notes", sa.Column("id", sa.BigInteger, primary_key=True))',
        'op.drop_table("notes")',
    )
    with (shop / "src/shop/v1/models.py").open("a") as models:
        models.write('\n\nclass Note(Base):\n    __tablename__ = "notes"\n')
        models.write("    id: Mapped[int] = mapped_column(primary_key=True)\n")
    done = run(shop, "--evolve=only", "--evolve-revisions", "0005:")
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.mark.server
@pytest.mark.usefixtures("its_server")
def test_ways_back_that_are_not_well(shop: Path) -> None:
    """Each is told of for itself, and the next one is tried all the same."""
    write_revision(shop, 'op.add_column("users", sa.Column("nick", sa.Text))')
    write_revision(shop, "pass", 'op.drop_column("users", "nobody")', "0007", "0006")
    write_revision(shop, "pass", 'raise NotImplementedError("there is no way back")', "0008", "0007")
    done = run(shop, "--evolve=only", "--evolve-revisions", "0005:", "-k", "round-trip", "-rsf")
    assert done.returncode == 1
    assert "2 failed, 1 skipped" in done.stdout
    assert "after downgrade() of 0006 the schema is not what it was before it:" in done.stdout
    assert "nick" in done.stdout
    assert '"nobody"' in done.stdout
    assert "FAILED evolve::round-trip[0007] - error: " in done.stdout
    assert "downgrade() of 0008 raises NotImplementedError" in done.stdout
    assert "Traceback" not in done.stdout


ENV = """
from alembic import context
from sqlalchemy import create_engine, pool

with create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool).connect() as it:
    context.configure(connection=it)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.server
@pytest.mark.usefixtures("its_server")
def test_branches_and_merges_go_up_and_down(tmp_path: Path) -> None:
    """Whatever order the tests have: each is tried on what it builds on, and nothing else."""
    (tmp_path / "migrations/versions").mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (tmp_path / "migrations/env.py").write_text(ENV)
    revisions: dict[str, tuple[object, object]] = {
        "merge": (("left", "right"), None),
        "left": ("first", None),
        "right": ("first", None),
        "first": (None, None),
        "other": (None, None),
        "needing": ("other", "merge"),
    }
    for name, (down, needs) in revisions.items():
        (tmp_path / f"migrations/versions/{name}.py").write_text(
            f"from alembic import op\n\nrevision = {name!r}\ndown_revision = {down!r}\ndepends_on = {needs!r}\n\n\n"
            f'def upgrade():\n    op.execute("CREATE TABLE t_{name} (id int)")\n\n\n'
            f'def downgrade():\n    op.execute("DROP TABLE t_{name}")\n'
        )
    asked = [f"round-trip[{name}]" for name in revisions]
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.hookimpl(trylast=True)\ndef pytest_collection_modifyitems(items):\n"
        f"    items.sort(key=lambda item: {asked!r}.index(item.name))\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nevolve_checks = round-trip\n")
    done = run(tmp_path, "--evolve=only", "--evolve-revisions", "base:heads")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.mark.server
@pytest.mark.usefixtures("its_server")
def test_models_that_are_ahead(shop: Path) -> None:
    write_revision(shop, 'op.add_column("users", sa.Column("nick", sa.Text))')
    done = run(shop, "--evolve=only", "-k", "models")
    assert done.returncode == 1
    assert "the models are not what the revisions make:" in done.stdout
    assert "'nick'" in done.stdout


@pytest.mark.server
@pytest.mark.usefixtures("its_server")
def test_shared_out_between_processes(shop: Path) -> None:
    done = run(shop, "--evolve=only", "--evolve-revisions", "0004:", "-n", "2")
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, scratch_server: Server) -> Path:
    """The shop with a change in flight, whose backfill is to be tried; to be copied."""
    shop = Path(shutil.copytree(SHOP, tmp_path_factory.mktemp("planned") / "shop"))
    with scratch_server.database() as url:
        for arguments in (["upgrade"], ["plan", "rename-column", "users.name", "full_name", "--write"]):
            done = evolve(*arguments, "--database-url", url, cwd=shop, env={"PYTHONPATH": str(shop / "src")})
            assert done.returncode == 0, done.stderr
    return shop


@pytest.fixture
def changing(planned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planned, tmp_path / "changing"))


@pytest.mark.server
@pytest.mark.usefixtures("its_server")
def test_a_backfill_resumes_on_rows_that_were_made_up(changing: Path) -> None:
    done = run(changing, "--evolve=only", "-k", "backfill", "-v")
    assert done.returncode == 0, done.stdout
    assert "evolve::backfill[rename_users_name_to_full_name] PASSED" in done.stdout


@pytest.mark.server
@pytest.mark.usefixtures("its_server")
def test_a_project_brings_rows_of_its_own(changing: Path) -> None:
    (changing / "conftest.py").write_text(
        "def pytest_evolve_rows(connection, table, count):\n"
        "    assert (table, count) == ('public.users', 70)\n"
        "    connection.execute('INSERT INTO users (name, email) SELECT n, n FROM generate_series(1, 70) n')\n"
        "    return True\n"
    )
    (changing / "pytest.ini").write_text("[pytest]\nevolve_rows = 70\n")
    done = run(changing, "--evolve=only", "-k", "backfill")
    assert done.returncode == 0, done.stdout


@pytest.mark.server
@pytest.mark.usefixtures("its_server")
def test_a_backfill_that_leaves_rows_behind(changing: Path) -> None:
    """A trigger of somebody's own writes behind the one that keeps the columns equal."""
    (expand,) = [
        path
        for path in (changing / "migrations/versions").glob("*.py")
        if "CREATE TRIGGER zz_evolve" in path.read_text()
    ]
    body = "BEGIN NEW.full_name := 'other than ' || NEW.name; RETURN NEW; END"
    own = (
        f'op.execute("CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")\n'
        '    op.execute("CREATE TRIGGER zzz_meddle BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION meddle()")'
    )
    text = expand.read_text()
    expand.write_text(text.replace("\n\n\ndef downgrade", f"\n    {own}\n\n\ndef downgrade", 1))
    done = run(changing, "--evolve=only", "-k", "backfill")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    assert "it ended, and rows are left:" in done.stdout
