"""`evolve upgrade` from the command line: answers, bad input, a crash in the middle, many runners at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.command_line import evolve, start_evolve

MakeProject = Callable[..., AlembicProject]


@pytest.fixture
def project(make_project: MakeProject, database_url: str) -> AlembicProject:
    project = make_project(database_url)
    project.add(
        "one", 'op.execute("CREATE TABLE users (id int PRIMARY KEY)")', 'op.execute("DROP TABLE users")'
    )
    return project


def version(url: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        exists = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
        if exists is None or exists[0] is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row[0] if row else None


def test_it_says_what_it_did(project: AlembicProject) -> None:
    first = evolve("upgrade", cwd=project.root)
    assert (first.returncode, first.stdout) == (0, "applied 1 revision; the database is at one\n"), (
        first.stderr
    )
    assert "1/1 one" in first.stderr
    again = evolve("upgrade", cwd=project.root)
    assert (again.returncode, again.stdout) == (0, "nothing to do; the database is at one\n")


def test_json(project: AlembicProject) -> None:
    answer = json.loads(evolve("upgrade", "--format", "json", cwd=project.root).stdout)
    assert answer["schema"] == 1
    assert [done["revision"] for done in answer["done"]] == ["one"]
    back = json.loads(evolve("downgrade", "base", "--format", "json", cwd=project.root).stdout)
    assert (back["direction"], back["heads"]) == ("downgrade", [])


def test_downgrade_by_a_number_of_steps(project: AlembicProject) -> None:
    evolve("upgrade", cwd=project.root)
    back = evolve("downgrade", "-1", cwd=project.root)
    assert (back.returncode, back.stdout) == (0, "reverted 1 revision; the database is at base\n"), (
        back.stderr
    )


def test_downgrade_without_a_target(project: AlembicProject) -> None:
    answer = evolve("downgrade", cwd=project.root)
    assert (answer.returncode, answer.stderr.splitlines()[0]) == (2, "error: missing argument 'TARGET'")


def test_an_unknown_option_is_no_target(project: AlembicProject) -> None:
    answer = evolve("downgrade", "--dryrun", "-1", cwd=project.root)
    assert (answer.returncode, answer.stderr.splitlines()[0]) == (
        2,
        "error: no such option '--dryrun'. Did you mean '--dry-run'?",
    )


def test_dry_run_writes_nothing(project: AlembicProject, database_url: str) -> None:
    shown = evolve("upgrade", "--dry-run", cwd=project.root)
    assert (shown.returncode, shown.stdout) == (0, "one one\n")
    assert version(database_url) is None


def test_sql_needs_no_database(project: AlembicProject) -> None:
    shown = evolve("upgrade", "--sql", cwd=project.root)
    assert shown.returncode == 0
    assert "CREATE TABLE users (id int PRIMARY KEY);" in shown.stdout


def test_sql_for_a_reader_that_leaves_is_no_fault_of_the_project(project: AlembicProject) -> None:
    for number in range(20):
        project.add(f"many{number}", f"op.execute('SELECT {'1, ' * 2000}1')")
    writer = start_evolve("upgrade", "--sql", cwd=project.root)
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.readline()
    writer.stdout.close()
    assert "error:" not in writer.stderr.read()
    writer.stderr.close()
    assert writer.wait(30) != 2


def test_an_env_py_that_fails_is_named_with_its_own_line(project: AlembicProject) -> None:
    (project.root / "migrations" / "env.py").write_text('import json\n\njson.loads("{")\n')
    answer = evolve("upgrade", cwd=project.root)
    assert answer.returncode == 2
    assert "migrations/env.py:3" in answer.stderr


def test_a_server_that_is_down(project: AlembicProject) -> None:
    answer = evolve("upgrade", "--database-url", "postgresql://me@127.0.0.1:1/shop", cwd=project.root)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: cannot connect to postgresql://me@127.0.0.1:1/shop: ")
    assert "fix:" in answer.stderr


def test_a_wrong_password_is_not_printed(project: AlembicProject, database_url: str) -> None:
    place = database_url.split("@", 1)[1]
    answer = evolve("upgrade", "--database-url", f"postgresql://postgres:hunter2@{place}", cwd=project.root)
    assert answer.returncode == 2
    assert "password authentication failed" in answer.stderr
    assert "hunter2" not in answer.stderr


def test_no_project_here(tmp_path_factory: pytest.TempPathFactory) -> None:
    answer = evolve("upgrade", cwd=tmp_path_factory.mktemp("empty"))
    assert answer.returncode == 2
    assert "there is no Alembic project here" in answer.stderr


@pytest.mark.parametrize("command", ["upgrade", "downgrade", "preflight"])
@pytest.mark.parametrize("target", ["nonsense", "", "@", "one@"])
def test_no_such_revision(project: AlembicProject, database_url: str, command: str, target: str) -> None:
    answer = evolve(command, target, cwd=project.root)
    assert answer.returncode == 2
    assert f'cannot go to "{target}"' in answer.stderr
    assert version(database_url) is None


@pytest.mark.parametrize(
    ("option", "value"), [("--lock-timeout", "99999999999"), ("--budget", "nan"), ("--wait", "inf")]
)
def test_a_limit_that_is_none(project: AlembicProject, option: str, value: str) -> None:
    answer = evolve("upgrade", option, value, cwd=project.root)
    assert answer.returncode == 2
    assert f"invalid value for '{option}'" in answer.stderr


SLEEPING = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"


@pytest.mark.parametrize("command", [["upgrade"], ["upgrade", "--dry-run"], ["lint"], ["status"]])
def test_a_revision_by_a_name_that_alembic_keeps_for_itself(
    make_project: MakeProject, database_url: str, command: list[str]
) -> None:
    project = make_project(database_url)
    project.add("base", 'op.execute("CREATE TABLE lost (id int)")')
    project.add("two", "pass")
    answer = evolve(*command, cwd=project.root)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert 'base.py calls its revision "base"' in answer.stderr
    assert version(database_url) is None


def test_a_killed_runner_leaves_the_revision_whole_or_undone(
    project: AlembicProject, database_url: str
) -> None:
    file = project.add(
        "two", 'op.add_column("users", sa.Column("name", sa.Text))\nop.execute("SELECT pg_sleep(30)")'
    )
    runner = start_evolve("upgrade", cwd=project.root)
    with psycopg.connect(database_url, autocommit=True) as connection:
        while not (backend := connection.execute(SLEEPING).fetchone()):
            assert runner.poll() is None, runner.communicate()
            time.sleep(0.05)
        runner.kill()
        runner.communicate()
        connection.execute("SELECT pg_terminate_backend(%s)", backend)  # it would notice only after its sleep
    assert version(database_url) == "one"
    file.write_text(file.read_text().replace("30", "0"))
    assert evolve("upgrade", cwd=project.root).returncode == 0
    assert version(database_url) == "two"


def test_eight_runners_at_once_apply_each_revision_once(project: AlembicProject, database_url: str) -> None:
    project.add("two", 'op.execute("CREATE TABLE log (at timestamptz DEFAULT clock_timestamp())")')
    project.add("three", 'op.execute("INSERT INTO log DEFAULT VALUES")\nop.execute("SELECT pg_sleep(0.5)")')
    most, done = fleet(project, database_url, 8)
    assert done == [0] * 7 + [3]
    # One for each, of the one at work also env.py's and the watch's, and those of the last one may still be closing.
    assert most < 2 * 8
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (1,)


def test_a_session_on_the_list_is_ended_and_reported(project: AlembicProject, database_url: str) -> None:
    evolve("upgrade", cwd=project.root)
    project.add("two", 'op.add_column("users", sa.Column("name", sa.Text))')
    role = f"web_{database_url.rsplit('/', 1)[1]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON users TO {role}")
        who = {"user": role, "password": "x", "application_name": "report-7"}
        with psycopg.connect(database_url, **who) as reader:
            reader.execute("SELECT * FROM users")
            answer = evolve(
                "upgrade", "--terminate-blockers", "application=report*", "--format", "json", cwd=project.root
            )
            reader.close()
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    (ended,) = json.loads(answer.stdout)["done"][0]["ended"]
    assert (ended["application"], ended["query"]) == ("report-7", "SELECT * FROM users")
    assert "    ended pid " in answer.stderr


def test_a_list_that_names_nobody(project: AlembicProject, database_url: str) -> None:
    answer = evolve("upgrade", "--terminate-blockers", "older-than=1s", cwd=project.root)
    assert (answer.returncode, version(database_url)) == (2, None)
    assert '"older-than=1s" does not say which sessions may be ended' in answer.stderr


def fleet(project: AlembicProject, url: str, size: int) -> tuple[int, list[int]]:
    """Start so many runners at once; returns the most connections seen, and how many revisions each applied."""
    runners = [start_evolve("upgrade", "--format", "json", cwd=project.root) for _ in range(size)]
    most = 0
    with psycopg.connect(url, autocommit=True) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        count += " AND backend_type = 'client backend'"
        while any(runner.poll() is None for runner in runners):
            row = connection.execute(count).fetchone()
            most = max(most, row[0] if row else 0)
            time.sleep(0.05)
    answers = [runner.communicate(timeout=60) for runner in runners]
    assert [runner.returncode for runner in runners] == [0] * size, answers
    return most, sorted(len(json.loads(stdout)["done"]) for stdout, _ in answers)


@pytest.mark.long
def test_fifty_runners_at_once(project: AlembicProject, database_url: str) -> None:
    project.add("two", 'op.execute("SELECT pg_sleep(20)")')
    most, done = fleet(project, database_url, 50)
    assert done == [0] * 49 + [2]
    assert most <= 50 + 2  # one for each, and of the one at work also env.py's and the watch's


def test_a_runner_that_waits_takes_over_from_one_that_is_killed(
    project: AlembicProject, database_url: str
) -> None:
    file = project.add("two", 'op.execute("SELECT pg_sleep(30)")')
    first = start_evolve("upgrade", cwd=project.root)
    with psycopg.connect(database_url, autocommit=True) as connection:
        while not (backend := connection.execute(SLEEPING).fetchone()):
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        file.write_text(file.read_text().replace("30", "0"))
        second = start_evolve("upgrade", "--format", "json", cwd=project.root)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'evolve runner'"
            " AND datname = current_database()"
        )
        while connection.execute(waiting).fetchone() != (2,):
            assert second.poll() is None, second.communicate()
            time.sleep(0.05)
        first.kill()
        first.communicate()
        connection.execute("SELECT pg_terminate_backend(%s)", backend)
    stdout, stderr = second.communicate(timeout=60)
    assert [done["revision"] for done in json.loads(stdout)["done"]] == ["two"], stderr


def test_a_log_of_json_lines(project: AlembicProject) -> None:
    (project.root / "evolve.toml").write_text('log = "json"\non_event = ["false"]\n')
    lines = [json.loads(line) for line in evolve("upgrade", cwd=project.root).stderr.splitlines()]
    names = [line["event"] for line in lines]
    assert names == [
        "upgrade.begin",
        "hook.failed",
        "upgrade.plan",
        "revision.begin",
        "revision.end",
        "upgrade.end",
    ]
    assert lines[3]["revision"] == "one"


def test_an_error_in_a_log_of_json_lines(project: AlembicProject) -> None:
    project.add("two", 'op.execute("ALTER TABLE nobody ADD x int")')
    answer = evolve("upgrade", "--log-format", "json", cwd=project.root)
    lines = [json.loads(line) for line in answer.stderr.splitlines()]
    assert (answer.returncode, [line["event"] for line in lines[-2:]]) == (
        1,
        ["revision.fail", "upgrade.fail"],
    )
    assert lines[-1]["fix"].startswith("mend two.py")
