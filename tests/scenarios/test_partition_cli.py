"""`evolve partition` as a user types it: plans, progress, JSON, exit statuses, and what is said about bad input."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import evolve, start_evolve
from support.conversion import held, wait_until
from support.orders import execute, make_orders, relations, rows_of, scalar, writers
from support.servers import MakeDatabase, MakeTemplate

pytestmark = pytest.mark.server

MONTHLY = (
    "--method",
    "range",
    "--key",
    "created_at",
    "--interval",
    "1 month",
    "--unique",
    "orders_ext_ref=per-partition",
)
EVENTS = Path(__file__).parents[2] / "sample_projects" / "events"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    return make_database(make_template("2,000 orders", lambda url: make_orders(url, 2_000)))


@pytest.fixture
def run(url: str, tmp_path: Path) -> Run:
    """`evolve partition …` in an empty folder."""

    def partition(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = evolve("partition", *arguments, cwd=tmp_path, env={"EVOLVE_DATABASE_URL": url})
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return partition


def last_json(text: str) -> dict[str, object]:
    found = json.loads(text.strip().splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_a_plan_is_shown_and_nothing_changed(run: Run, url: str) -> None:
    before = relations(url)
    done = run("convert", "orders", *MONTHLY, "--recipe", "copy")
    assert "recipe copy" in done.stdout
    assert "ACCESS EXCLUSIVE, which blocks reads and writes" in done.stdout
    assert "add --run to do it" in done.stdout
    assert relations(url) == before
    assert scalar(url, "SELECT to_regnamespace('evolve') IS NULL") is True


def test_the_plan_as_json_names_locks_and_statements(run: Run) -> None:
    plan = json.loads(run("convert", "orders", *MONTHLY, "--format", "json").stdout)
    assert (plan["schema"], plan["recipe"]) == (1, "attach")
    swap = next(step for step in plan["steps"] if step["name"] == "swap")
    assert swap["lock"] == "ACCESS EXCLUSIVE"
    assert any("ATTACH PARTITION" in statement for statement in swap["statements"])


def test_explain_shows_every_statement(run: Run) -> None:
    assert (
        "ADD CONSTRAINT orders_evolve_bound CHECK" in run("convert", "orders", *MONTHLY, "--explain").stdout
    )


@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_the_whole_way_there_and_back_and_there(run: Run, url: str, recipe: str) -> None:
    rows = rows_of(url)
    run("convert", "orders", *MONTHLY, "--recipe", recipe, "--run")
    assert "partitioned by range (created_at)" in run("status", "orders").stdout
    run("convert", "orders", "--rollback")
    assert rows_of(url) == rows
    assert "orders is as it was" in run("status", "orders").stdout
    run("convert", "orders", *MONTHLY, "--recipe", recipe, "--yes")
    assert "for good" in run("finish", "orders").stdout
    assert "nothing is missing" in run("premake").stdout
    assert rows_of(url) == rows


def test_progress_goes_to_stderr_and_the_result_to_stdout(run: Run) -> None:
    done = run("convert", "orders", *MONTHLY, "--recipe", "copy", "--run")
    assert "copy: rows of orders, in batches" in done.stderr
    assert done.stdout.startswith("orders is partitioned by range (created_at): ")
    assert "2,000 rows copied" in done.stdout


def test_quiet_says_nothing_on_stderr(run: Run) -> None:
    assert run("convert", "orders", *MONTHLY, "--run", "--quiet").stderr == ""


def test_the_result_as_json(run: Run) -> None:
    result = last_json(
        run("convert", "orders", *MONTHLY, "--recipe", "copy", "--run", "--format", "json").stdout
    )
    assert result["state"] == "swapped"
    assert (result["rows_copied"], result["rows_verified"], result["rows_differing"]) == (2_000, 2_000, 0)
    assert result["old_table"] == "orders_evolve_old"


def test_status_as_json(run: Run) -> None:
    run("convert", "orders", *MONTHLY, "--run")
    status = json.loads(run("status", "orders", "--format", "json").stdout)
    assert (status["method"], status["key"]) == ("range", ["created_at"])
    assert status["due"] == {"create": [], "conflicts": []}
    assert status["conversion"]["state"] == "swapped"


def test_status_of_an_ordinary_table(run: Run) -> None:
    assert run("status", "orders").stdout == "orders is not partitioned\n"


def test_the_settings_are_enough(url: str, tmp_path: Path) -> None:
    (tmp_path / "evolve.toml").write_text(
        f"""database_url = "{url}"
[partition.orders]
method = "range"
key = "created_at"
interval = "1 month"
recipe = "copy"
unique = {{ orders_ext_ref = "per-partition" }}
"""
    )
    done = evolve("partition", "convert", "orders", "--run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2,000 rows copied" in done.stdout
    assert evolve("partition", "premake", "--dry-run", cwd=tmp_path).stdout == "orders: nothing is missing\n"


def test_an_option_goes_before_the_settings(url: str, tmp_path: Path) -> None:
    (tmp_path / "evolve.toml").write_text(
        f"""database_url = "{url}"
[partition.orders]
method = "range"
key = "created_at"
interval = "1 month"
unique = {{ orders_ext_ref = "per-partition" }}
"""
    )
    done = evolve(
        "partition",
        "convert",
        "orders",
        "--recipe",
        "copy",
        "--interval",
        "year",
        "--format",
        "json",
        cwd=tmp_path,
    )
    assert json.loads(done.stdout)["partitions"][0]["name"] == "orders_p2026"


def test_a_table_that_cannot_be_premade_keeps_no_other_from_it(url: str, run: Run) -> None:
    days = (
        "--method",
        "range",
        "--key",
        "at",
        "--interval",
        "day",
        "--premake",
        "5 days",
        "--recipe",
        "copy",
    )
    for table in ("a", "b"):
        execute(url, f"CREATE TABLE {table} (id bigint PRIMARY KEY, at timestamptz NOT NULL)")
        run("convert", table, *days, "--run")
        run("finish", table)
    last = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = '{}'::regclass"
    of_a, of_b = str(scalar(url, last.format("a"))), str(scalar(url, last.format("b")))
    execute(url, f"DROP TABLE {of_a}, {of_b}; CREATE TABLE {of_a} (id int)")
    done = run("premake", expect=1)
    assert f"b: made {of_b}" in done.stdout
    assert "error: the partition cannot be called" in done.stderr


def test_premake_as_json_and_its_exit_status_for_a_conflict(run: Run, url: str) -> None:
    run("convert", "orders", *MONTHLY, "--recipe", "copy", "--run")
    run("finish", "orders")
    execute(
        url,
        "DO $$ DECLARE p text; BEGIN SELECT max(inhrelid::regclass::text) INTO p FROM pg_inherits"
        " WHERE inhparent = 'orders'::regclass; EXECUTE 'DROP TABLE ' || p; EXECUTE format("
        "'CREATE TABLE hand PARTITION OF orders FOR VALUES FROM (%L) TO (%L)', to_date(right(p, 7), 'YYYY_MM') + 3,"
        " to_date(right(p, 7), 'YYYY_MM') + 5); END $$",
    )
    done = run("premake", "--format", "json", expect=1)
    [table] = json.loads(done.stdout)["tables"]
    assert [conflict["existing"] for conflict in table["conflicts"]] == ["hand"]


def test_a_killed_conversion_is_shown_and_resumed(run: Run, url: str, tmp_path: Path) -> None:
    execute(
        url,
        "INSERT INTO orders (tenant_id, customer_id, region) SELECT 1, 1, 'eu' FROM generate_series(1, 60000)",
    )
    with writers(url) as traffic:
        process = start_evolve(
            "partition",
            "convert",
            "orders",
            *MONTHLY,
            "--recipe",
            "copy",
            "--run",
            cwd=tmp_path,
            env={"EVOLVE_DATABASE_URL": url},
        )
        wait_until(lambda: scalar(url, "SELECT to_regclass('evolve.partition_step') IS NOT NULL") is True)
        wait_until(lambda: scalar(url, "SELECT sum(rows) > 0 FROM evolve.partition_step") is True)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        shown = run("status", "orders").stdout
        run("convert", "orders", "--resume")
    assert "conversion at step" in shown
    assert "--resume" in shown
    assert traffic.errors == []
    assert rows_of(url) == rows_of(url, "orders_evolve_old")


def test_ctrl_c_ends_the_batch_and_tells_how_to_go_on(run: Run, url: str, tmp_path: Path) -> None:
    execute(
        url,
        "INSERT INTO orders (tenant_id, customer_id, region) SELECT 1, 1, 'eu' FROM generate_series(1, 60000)",
    )
    with held(url, beyond=40_000):
        process = start_evolve(
            *("partition", "convert", "orders", *MONTHLY, "--recipe", "copy", "--run"),
            cwd=tmp_path,
            env={"EVOLVE_DATABASE_URL": url},
        )
        wait_until(lambda: scalar(url, "SELECT to_regclass('evolve.partition_step') IS NOT NULL") is True)
        wait_until(lambda: scalar(url, "SELECT sum(rows) > 0 FROM evolve.partition_step") is True)
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "evolve partition convert orders --resume" in errors
    run("convert", "orders", "--resume")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("convert", "orders"), 2, 'how "orders" is to be partitioned is not said'),
        (("convert", "orders", "--method", "rang"), 2, 'did you mean "range"?'),
        (("convert", "orders", "--method", "range"), 2, "key: name the column"),
        (("convert", "order", *MONTHLY), 2, 'there is no table "order"'),
        (("convert", "a.b.c", *MONTHLY), 2, "is not a table name"),
        (("convert", "orders", *MONTHLY, "--set", "colour"), 2, "--set NAME=VALUE"),
        (("convert", "orders", *MONTHLY, "--set", "premade=1 day"), 2, 'did you mean "premake"?'),
        (("convert", "orders", *MONTHLY, "--unique", "orders_ext_ref=maybe"), 2, "=per-partition or"),
        (("convert", "orders", "--resume", "--rollback"), 2, "do not go together"),
        (("convert", "orders", "--resume"), 2, 'no conversion of "orders" is under way'),
        (("convert", "orders", "--rollback"), 2, 'no conversion of "orders" is under way'),
        (("finish", "orders"), 2, 'no conversion of "orders" is under way'),
        (("convert", "orders", *MONTHLY[:6]), 1, 'the unique key "orders_ext_ref"'),
        (("premake",), 2, "no partitioned table is known"),
        (("premake", "orders"), 2, "is not known here"),
        (("status", "nothing"), 2, 'there is no table "nothing"'),
    ],
)
def test_bad_input(run: Run, url: str, arguments: tuple[str, ...], status: int, said: str) -> None:
    before = relations(url)
    done = run(*arguments, expect=status)
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert done.stdout == ""
    assert relations(url) == before


def test_a_server_that_is_down(tmp_path: Path) -> None:
    done = evolve(
        "partition",
        "status",
        "orders",
        cwd=tmp_path,
        env={"EVOLVE_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/x"},
    )
    assert done.returncode == 2
    assert "cannot connect" in done.stderr
    assert "secret" not in done.stderr


def test_a_role_that_may_not_make_the_journal(url: str, tmp_path: Path) -> None:
    execute(
        url,
        "DO $$ BEGIN CREATE ROLE poor LOGIN PASSWORD 'poor'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        "ALTER TABLE orders OWNER TO poor; GRANT CREATE ON SCHEMA public TO poor; GRANT ALL ON customers TO poor",
    )
    poor = url.replace(url.split("//")[1].split("@")[0], "poor:poor")
    done = evolve(
        "partition", "convert", "orders", *MONTHLY, "--run", cwd=tmp_path, env={"EVOLVE_DATABASE_URL": poor}
    )
    assert done.returncode == 2
    assert 'schema "evolve" cannot be made' in done.stderr


@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_an_owner_who_is_no_superuser_can_do_it(url: str, tmp_path: Path, recipe: str) -> None:
    execute(
        url,
        "DO $$ BEGIN CREATE ROLE owner LOGIN PASSWORD 'owner'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        "ALTER TABLE orders OWNER TO owner; ALTER TABLE customers OWNER TO owner;"
        "GRANT CREATE ON SCHEMA public TO owner; CREATE SCHEMA evolve AUTHORIZATION owner",
    )
    owner = url.replace(url.split("//")[1].split("@")[0], "owner:owner")
    rows = rows_of(url)
    for arguments in (
        (*MONTHLY, "--recipe", recipe, "--run"),
        ("--rollback",),
        (*MONTHLY, "--recipe", recipe, "--run"),
    ):
        done = evolve(
            "partition", "convert", "orders", *arguments, cwd=tmp_path, env={"EVOLVE_DATABASE_URL": owner}
        )
        assert done.returncode == 0, done.stderr
    assert rows_of(url) == rows


def test_plugins_are_listed(tmp_path: Path) -> None:
    text = evolve("plugins", cwd=tmp_path).stdout
    assert "range  alembic-evolve" in text
    listed = json.loads(evolve("plugins", "--format", "json", cwd=tmp_path).stdout)
    assert listed["schema"] == 1
    methods = [method for plugin in listed["plugins"] for method in plugin["partitioners"]]
    assert methods == ["hash", "list", "range"]


@pytest.mark.parametrize("command", [("plugins",), ("partition", "convert", "orders", *MONTHLY)])
def test_a_plugin_that_does_not_import_stops_the_command(
    url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "broken_plugin.py").write_text("import no_such_module_anywhere\n")
    info = tmp_path / "broken_evolve-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-evolve\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[evolve.plugins]\nbroken = broken_plugin:plugin\n")
    done = evolve(*command, cwd=tmp_path, env={"EVOLVE_DATABASE_URL": url, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert "broken-evolve 1.0 could not be loaded: ModuleNotFoundError" in done.stderr


def test_the_events_sample_from_end_to_end(database_url: str, tmp_path: Path) -> None:
    events = tmp_path / "events"
    shutil.copytree(EVENTS, events)
    env = {"EVENTS_DATABASE_URL": database_url, "PYTHONPATH": str(events / "src")}
    assert evolve("upgrade", cwd=events, env=env).returncode == 0
    execute(
        database_url,
        "INSERT INTO events (occurred_at, device_id, kind) SELECT now() - g * interval '1 hour', g % 9, 'door'"
        " FROM generate_series(1, 4000) g",
    )
    for arguments in (("convert", "events", "--recipe", "copy", "--run"), ("finish", "events"), ("premake",)):
        done = evolve("partition", *arguments, cwd=events, env=env)
        assert done.returncode == 0, done.stderr
    assert scalar(database_url, "SELECT count(*) FROM events") == 4000
    assert scalar(database_url, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass") > 8  # type: ignore[operator]
