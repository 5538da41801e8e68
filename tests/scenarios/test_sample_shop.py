"""The sample shop: its migrations go up and down, its seed is what it says, its traffic measures honestly."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.command_line import evolve, module
from support.deployed import told, until
from support.servers import MakeDatabase, MakeTemplate

from evolve.postgres import registry
from evolve.sql.names import QualifiedName

SHOP = Path(__file__).parents[2] / "sample_projects" / "shop"
USERS, ORDERS = 300, 1500

pytestmark = pytest.mark.server


def environment(url: str) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "PYTHONPATH": str(SHOP / "src"), "SHOP_DATABASE_URL": url}


def run(url: str, *module_and_arguments: str) -> subprocess.CompletedProcess[str]:
    return module(*module_and_arguments, cwd=SHOP, env=environment(url), path=(SHOP / "src",))


def migrate(url: str, *arguments: str) -> None:
    done = run(url, "alembic", *arguments)
    assert done.returncode == 0, done.stderr


def fill(url: str) -> None:
    migrate(url, "upgrade", "head")
    done = run(url, "shop.seed", "--users", str(USERS), "--orders", str(ORDERS))
    assert done.returncode == 0, done.stderr


@pytest.fixture
def shop(make_database: MakeDatabase, make_template: MakeTemplate) -> str:
    """The URL of a shop at its newest revision, with users and orders."""
    return make_database(make_template("shop", fill))


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def schema(url: str) -> list[tuple[Any, ...]]:
    return query(
        url,
        """
        SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND attnum > 0
          AND relname NOT LIKE 'alembic%'
        UNION ALL
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'alembic%'
        ORDER BY 1, 2, 3
        """,
    )


class Traffic:
    """`shop.traffic` as a program of its own, and its report."""

    def __init__(self, program: subprocess.Popen[bytes], file: Path) -> None:
        self.program = program
        self._file = file

    @property
    def report(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._file.read_text())
        return content

    def end(self) -> int:
        return self.program.wait(timeout=60)


@contextmanager
def traffic(url: str, file: Path, *arguments: str, version: str = "v1") -> Iterator[Traffic]:
    """Start it, and go on when it serves."""
    command = [sys.executable, "-m", "shop.traffic", "--version", version, "--report", str(file), *arguments]
    with subprocess.Popen(command, env=environment(url), stdin=subprocess.PIPE) as program:
        try:
            ends = time.monotonic() + 30
            while not file.exists():
                assert program.poll() is None, "it ended before it had a report"
                assert time.monotonic() < ends, "it took too long to start"
                time.sleep(0.02)
            yield Traffic(program, file)
        finally:
            program.kill()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


# -- migrations


def test_the_migrations_make_what_the_models_of_the_first_release_say(database_url: str) -> None:
    migrate(database_url, "upgrade", "head")
    done = run(database_url, "alembic", "check")
    assert done.returncode == 0, done.stdout


def test_each_revision_can_be_taken_back_and_made_again(database_url: str) -> None:
    revisions = sorted(file.name[:4] for file in (SHOP / "migrations" / "versions").glob("*.py"))
    after: dict[str, list[tuple[Any, ...]]] = {"base": []}
    for revision in revisions:
        migrate(database_url, "upgrade", revision)
        after[revision] = schema(database_url)
    # A constraint that was validated stays so: all that is left of 0005 when it is taken back.
    after["0004"] = after["0005"]
    for before in reversed(["base", *revisions[:-1]]):
        migrate(database_url, "downgrade", before)
        assert schema(database_url) == after[before], f"going back to {before}"
    migrate(database_url, "upgrade", "head")
    assert schema(database_url) == after[revisions[-1]]


def test_the_bad_revision_follows_the_last_good_one(database_url: str, tmp_path: Path) -> None:
    [bad] = (SHOP / "bad_revisions").glob("*.py")
    locations = f"{SHOP / 'migrations' / 'versions'}{os.pathsep}{bad.parent}"
    config = tmp_path / "alembic.ini"
    text = (SHOP / "alembic.ini").read_text().replace("%(here)s", str(SHOP))
    config.write_text(f"{text}version_locations = {locations}\n")
    migrate(database_url, "-c", str(config), "upgrade", "head")
    migrate(database_url, "-c", str(config), "downgrade", "0005")


def lint(project: Path, *arguments: str) -> tuple[int, set[str]]:
    """Exit status, and the ids of the rules that found something."""
    done = evolve("lint", "-C", project, "--fail-on", "info", *arguments, cwd=Path.cwd())
    return done.returncode, set(re.findall(r"\b(?:error|warning|info) (EV\d{3}) ", done.stdout))


def test_evolve_finds_nothing_in_the_history() -> None:
    assert lint(SHOP, "base:heads") == (0, set())


def test_evolve_refuses_the_bad_revision_for_each_of_its_statements(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    shutil.copytree(SHOP, project)
    for bad in (project / "bad_revisions").glob("*.py"):
        shutil.copy(bad, project / "migrations" / "versions")
    # rename-column, add-column-required, create-index-blocking, set-not-null-scan, and two tables locked at once
    assert lint(project, "0006") == (1, {"EV202", "EV201", "EV102", "EV101", "EV171"})


# -- seed


def test_the_seed_makes_the_number_of_rows_that_is_asked_for(shop: str) -> None:
    counts = query(shop, "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM orders)")
    assert counts == [(USERS, ORDERS)]


def test_the_seed_keeps_indexes_and_foreign_key(shop: str, database_url: str) -> None:
    migrate(database_url, "upgrade", "head")
    assert schema(shop) == schema(database_url)


def test_the_seed_spreads_orders_over_twenty_four_months(shop: str) -> None:
    [(months, days)] = query(
        shop,
        "SELECT count(DISTINCT date_trunc('month', created_at AT TIME ZONE 'UTC')), "
        "extract(day FROM max(created_at) - min(created_at)) FROM orders",
    )
    assert (months in {24, 25}, days) == (True, 729)


def test_the_next_id_after_the_seed_is_a_new_one(shop: str) -> None:
    [(order_id,)] = query(shop, "INSERT INTO orders (user_id, total) VALUES (1, 1) RETURNING id")
    assert order_id == ORDERS + 1


def test_the_orders_of_one_user_differ(shop: str) -> None:
    users = query(
        shop, "SELECT user_id FROM orders GROUP BY user_id HAVING count(DISTINCT (status, total)) > 1"
    )
    assert len(users) == USERS


def test_two_seeds_make_the_same_shop(shop: str, database_url: str) -> None:
    fill(database_url)
    rows = "SELECT id, user_id, status, total, note FROM orders ORDER BY id"
    assert query(shop, rows) == query(database_url, rows)


def test_the_seed_refuses_a_shop_that_has_users(shop: str) -> None:
    done = run(shop, "shop.seed", "--size", "small")
    assert (done.returncode, "already has users" in done.stderr) == (1, True)


# -- traffic


def test_traffic_on_the_first_schema_neither_fails_nor_loses_anything(shop: str, file: Path) -> None:
    with traffic(shop, file, "--rate", "100", "--seconds", "2") as program:
        assert program.end() == 0
    report = program.report
    assert (report["failed"], report["lost"], report["checked"] > 0) == (0, 0, True)


def test_traffic_does_everything_a_shop_is_for(shop: str, file: Path) -> None:
    with traffic(shop, file, "--rate", "150", "--seconds", "4", "--seed", "1") as program:
        program.end()
    assert set(program.report["by_kind"]) == {
        *("read user", "recent orders", "place order", "rename user", "advance order", "sign up"),
        *("withdraw order", "read back"),
    }


def test_the_report_has_the_promised_keys(shop: str, file: Path) -> None:
    with traffic(shop, file, "--seconds", "0.5") as program:
        program.end()
    assert list(program.report) == [
        *("version", "finished", "seconds", "transactions", "failed", "retried", "errors"),
        *("p50_ms", "p99_ms", "longest_ms", "wait_p99_ms", "longest_wait_ms", "longest_wait_of", "by_kind"),
        *("checked", "lost", "lost_rows"),
    ]


def test_traffic_serves_at_the_rate_that_is_asked_for(shop: str, file: Path) -> None:
    with traffic(shop, file, "--rate", "50", "--seconds", "3") as program:
        program.end()
    assert 140 <= program.report["transactions"] <= 156


def test_a_release_that_runs_is_known_by_what_it_maps(shop: str, file: Path) -> None:
    with psycopg.connect(shop, autocommit=True) as connection:
        registry.install(connection)
        with traffic(shop, file):
            until(lambda: told(shop, "v1"))
            [user] = registry.users_of(connection, [(QualifiedName("users"), "name")])
            assert (user.application, user.version) == ("shop", "v1")
            assert registry.users_of(connection, [(QualifiedName("users"), "full_name")]) == []


def test_two_programs_with_different_shares_lose_nothing_of_each_other(shop: str, tmp_path: Path) -> None:
    arguments = ["--rate", "100", "--seconds", "3"]
    with (
        traffic(shop, tmp_path / "1.json", *arguments, "--share", "1/2") as first,
        traffic(shop, tmp_path / "2.json", *arguments, "--share", "2/2") as second,
    ):
        assert (first.end(), second.end()) == (0, 0)


def test_traffic_ends_with_standard_input(shop: str, file: Path) -> None:
    with traffic(shop, file) as program:
        running = (program.program.poll(), program.report["finished"], program.report["lost"])
        assert program.program.stdin is not None
        program.program.stdin.close()
        assert (running, program.end()) == ((None, False, None), 0)
    assert (program.report["finished"], program.report["lost"]) == (True, 0)


def test_traffic_ends_well_when_it_is_terminated(shop: str, file: Path) -> None:
    with traffic(shop, file, "--seconds", "60") as program:
        program.program.terminate()
        assert program.end() == 0
    assert program.report["lost"] == 0


def test_a_stand_still_is_a_wait_of_everybody_and_no_failure(shop: str, file: Path) -> None:
    with psycopg.connect(shop) as connection, traffic(shop, file, "--seconds", "3") as program:
        connection.execute("LOCK TABLE users, orders IN ACCESS EXCLUSIVE MODE")
        time.sleep(1)
        connection.rollback()
        assert program.end() == 0
    report = program.report
    # Of 50 who came in that second only four were being served, but more than one in a hundred waited.
    assert min(report["longest_ms"], report["longest_wait_ms"], report["wait_p99_ms"]) > 900


def test_failures_are_counted_with_what_the_server_said(shop: str, file: Path) -> None:
    with traffic(shop, file, "--seconds", "2") as program:
        query(shop, "ALTER TABLE users RENAME COLUMN name TO full_name")
        assert program.end() == 1
    report = program.report
    assert (report["failed"] > 10, len(report["errors"])) == (True, 10)
    assert any("column users.name does not exist" in error for error in report["errors"])


def test_the_victim_of_a_deadlock_is_tried_once_more(shop: str, file: Path) -> None:
    # The first update fails as a victim's would; what a sequence counted is not rolled back with it.
    query(
        shop,
        """
        CREATE SEQUENCE attempts;
        CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF nextval('attempts') = 1 THEN RAISE 'deadlock detected' USING ERRCODE = '40P01'; END IF;
          RETURN NEW;
        END $$;
        CREATE TRIGGER fail_at_first BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION fail_at_first();
        """,
    )
    with traffic(shop, file, "--seconds", "2") as program:
        assert program.end() == 0
    assert (program.report["failed"], program.report["retried"]) == (0, 1)


# -- what was written


@dataclass(frozen=True, slots=True)
class UsedShop:
    """A shop after a few seconds of traffic, and what that wrote."""

    url: str
    ledger: Path


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "ledger.json"


@pytest.fixture
def used_shop(make_database: MakeDatabase, make_template: MakeTemplate, ledger: Path) -> UsedShop:
    def use(url: str) -> None:
        fill(url)
        arguments = [
            "--version",
            "v1",
            "--rate",
            "150",
            "--seconds",
            "4",
            "--seed",
            "1",
            "--ledger",
            str(ledger),
        ]
        done = run(url, "shop.traffic", *arguments)
        assert done.returncode == 0, done.stderr

    return UsedShop(make_database(make_template("used shop", use)), ledger)


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param("UPDATE users SET name = 'Ada' WHERE id = {name of user}", id="an older name"),
        pytest.param(
            "UPDATE users SET email = 'a@b.example' WHERE id = {email of user}", id="another e-mail"
        ),
        pytest.param("UPDATE orders SET total = total + 1 WHERE id = {order}", id="another total"),
        pytest.param("DELETE FROM orders WHERE id = {order}", id="a missing order"),
        pytest.param(
            "INSERT INTO orders (id, user_id, total) VALUES ({withdrawn}, 1, 1)", id="one come back"
        ),
        pytest.param(
            "ALTER TABLE orders DROP CONSTRAINT pk_orders;"
            "INSERT INTO orders SELECT * FROM orders WHERE id = {order}",
            id="one that is there twice",
        ),
    ],
)
def test_the_check_finds(used_shop: UsedShop, loss: str) -> None:
    written = json.loads(used_shop.ledger.read_text())
    rows = {kind: next(row for row, [value] in found.items() if value) for kind, found in written.items()}
    rows["withdrawn"] = next(row for row, [value] in written["order"].items() if value is None)
    query(used_shop.url, loss.format_map(rows))
    done = run(used_shop.url, "shop.check", "--version", "v1", str(used_shop.ledger))
    assert (done.returncode, json.loads(done.stdout)["lost"]) == (1, 1)


def test_the_next_release_finds_what_the_first_one_wrote(used_shop: UsedShop) -> None:
    query(used_shop.url, "ALTER TABLE users RENAME COLUMN name TO full_name")
    done = run(used_shop.url, "shop.check", "--version", "v2", str(used_shop.ledger))
    assert (done.returncode, json.loads(done.stdout)["lost"]) == (0, 0)


# -- releases


@pytest.mark.parametrize(
    ("version", "change"),
    [
        ("v2", "ALTER TABLE users RENAME COLUMN name TO full_name"),
        (
            "v3",
            "ALTER TABLE users RENAME COLUMN name TO full_name;"
            "ALTER TABLE users ADD COLUMN locale text NOT NULL DEFAULT 'fr';"
            "ALTER TABLE users ALTER COLUMN locale DROP DEFAULT",
        ),
    ],
)
def test_a_later_release_runs_on_its_own_schema(shop: str, file: Path, version: str, change: str) -> None:
    query(shop, change)
    with traffic(shop, file, "--rate", "100", "--seconds", "2", version=version) as program:
        assert program.end() == 0


@pytest.mark.parametrize(
    ("version", "foreign"),
    [("v1", "full_name"), ("v1", "locale"), ("v2", "name"), ("v2", "locale"), ("v3", "name")],
)
def test_a_release_maps_no_column_of_another(version: str, foreign: str) -> None:
    text = (SHOP / "src" / "shop" / version / "models.py").read_text()
    assert not re.search(rf"^    {foreign}: Mapped", text, re.MULTILINE)


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_later_release_says_so_when_the_schema_is_not_ready(shop: str, version: str) -> None:
    done = run(shop, "shop.traffic", "--version", version, "--seconds", "1")
    assert (done.returncode, "users.full_name does not exist" in done.stderr) == (2, True)


# -- the page


def test_the_commands_of_the_readme_run(database_url: str, tmp_path: Path) -> None:
    page = (SHOP / "README.md").read_text()
    [_, commands] = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        ["sh", "-ec", commands.replace("alembic ", f"alembic -c {SHOP}/alembic.ini ")],
        cwd=tmp_path,
        env=environment(database_url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
