"""What a project allows, and what it knew when it began to lint: comments, settings and the baseline."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject
from support.command_line import UNPRIVILEGED, evolve

TABLES = """
    for name in ("users", "orders"):
        op.create_table(name, sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
"""
DROP = 'op.drop_column("users", "name")'
ADD = 'op.add_column("users", sa.Column("nickname", sa.Text()))'
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
BASELINE = "evolve-baseline.jsonl"

MakeProject = Callable[..., AlembicProject]


@pytest.fixture
def project(make_project: MakeProject) -> AlembicProject:
    """0002 drops a column."""
    made = make_project()
    made.add("0001", TABLES)
    made.add("0002", DROP)
    return made


def configure(project: AlembicProject, text: str) -> None:
    (project.root / "evolve.toml").write_text(text)


def lint(project: AlembicProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    return evolve("lint", *arguments, cwd=project.root)


def names(project: AlembicProject, *arguments: str) -> list[str]:
    """Of the findings that are left."""
    return [
        each["name"] for each in json.loads(lint(project, *arguments, "--format", "json").stdout)["findings"]
    ]


def kinds(project: AlembicProject, *arguments: str) -> list[tuple[str, str]]:
    """(rule, what allows it) of each finding that is not."""
    report = json.loads(lint(project, *arguments, "--format", "json").stdout)
    return [(each["name"], each["kind"]) for each in report["suppressed"]]


# -- comments in SQL that a revision sends -----------------------------------------------------------------------
def test_comment_in_sent_sql_speaks_for_its_statement(project: AlembicProject) -> None:
    project.add(
        "0003",
        '''
op.execute("""
    -- evolve: allow[drop-column] because nobody maps it
    ALTER TABLE users DROP COLUMN name;
    ALTER TABLE orders DROP COLUMN name;
""")
''',
    )
    report = json.loads(lint(project, "0003", "--format", "json").stdout)

    assert [each["message"].split()[0] for each in report["findings"]] == ['"orders.name"']
    assert [each["allowed_by"] for each in report["suppressed"]] == ["migrations/versions/0003.py:12"]


def test_unused_comment_in_sent_sql_is_told_in_its_line(project: AlembicProject) -> None:
    project.add(
        "0003", 'op.execute("""SELECT 1;\n-- evolve: allow[drop-table] because of nothing\nSELECT 2""")'
    )

    done = lint(project, "0003")

    assert "migrations/versions/0003.py:12: warning EV922 allow-unused" in done.stdout


def test_file_with_windows_line_ends_and_another_encoding(project: AlembicProject) -> None:
    file = project.add("0003", "pass")
    text = file.read_text().replace(
        "    pass", f"\t# evolve: allow[drop-column] because Größe ist überflüssig\n\t{DROP}", 1
    )
    file.write_bytes(f"# coding: latin-1\n{text}".replace("\n", "\r\n").encode("latin-1"))

    report = json.loads(lint(project, "0003", "--format", "json").stdout)

    assert [each["reason"] for each in report["suppressed"]] == ["Größe ist überflüssig"]


# -- the settings ------------------------------------------------------------------------------------------------
ALLOW = """
[[lint.allow]]
rules = ["drop-column"]
files = ["versions/0002*"]
because = "release 41 maps it no more"
"""


def test_setting_allows_and_is_shown_with_its_line(project: AlembicProject) -> None:
    configure(project, ALLOW)
    done = lint(project, "0002", "-v")
    report = json.loads(lint(project, "0002", "--format", "json").stdout)

    assert done.returncode == 0
    assert "because: release 41 maps it no more" in done.stdout
    assert report["suppressed"][0]["allowed_by"] == "evolve.toml:2"


@pytest.mark.parametrize("word", ["drop-column", "ev204", "2xx"])
def test_ignored_rules_are_quiet(project: AlembicProject, word: str) -> None:
    configure(project, f"[lint]\nignore = ['{word}']\n")

    assert kinds(project, "0002") == [("drop-column", "configuration")]


def test_what_a_setting_allows_still_breaks_old_code(project: AlembicProject) -> None:
    configure(project, ALLOW)

    assert lint(project, "0002", "--require", "BACKWARD").returncode == 1


def test_glob_that_matches_no_file_is_told_even_where_one_revision_is_checked(
    project: AlembicProject,
) -> None:
    configure(project, ALLOW.replace("0002", "2019"))

    assert names(project, "0001") == ["allow-unused"]


@pytest.mark.parametrize(
    ("setting", "options", "status"),
    [
        ("EV204 = 'warning'", (), 0),
        ("EV204 = 'warning'", ("--fail-on", "warning"), 1),
        ("2xx = 'info'", ("--fail-on", "warning"), 0),
        ("drop-column = 'off'", ("--fail-on", "info"), 0),
    ],
)
def test_exit_status_follows_the_severities_of_the_settings(
    project: AlembicProject, setting: str, options: tuple[str, ...], status: int
) -> None:
    configure(project, f"[lint.severity]\n{setting}\n")

    assert lint(project, "0002", *options).returncode == status


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[lint]\nignore = [\n  'drop-colum',\n]\n",
            'evolve.toml:3: lint.ignore: there is no rule "drop-colum"',
        ),
        ("[lint]\nenable = ['0xx']\n", 'evolve.toml:2: lint.enable: there is no rule "0xx"'),
        (
            "[lint.severity]\ndrop-colum = 'off'\n",
            "evolve.toml:2: lint.severity.drop-colum: there is no rule",
        ),
        (
            "[lint.severity]\nEV204 = 'fatal'\n",
            '"lint.severity.EV204" is "fatal", but must be one of error, warning, info, off',
        ),
        (
            "[lint.severity]\nEV204 = 'info'\ndrop-column = 'off'\n",
            'calls one rule "EV204" and "drop-column"',
        ),
        (
            ALLOW.replace("drop-column", "drop-colum"),
            'evolve.toml:3: lint.allow[1].rules: there is no rule "drop-colum"',
        ),
        (ALLOW.replace("because", "reason"), 'evolve.toml:5: "lint.allow[1].reason" is not a setting'),
        (ALLOW + "until = 'soon'", 'evolve.toml:6: "lint.allow[1].until" is "soon", but must be a day'),
        (ALLOW + "until = 2026-02-30", "evolve.toml:6: "),
        (ALLOW + "until = 2026-12-31T00:00:00", "must be a day, such as 2026-12-31"),
        (ALLOW.replace("release 41 maps it no more", "..."), "must be the reason why it is allowed"),
        (ALLOW.replace("because", "#"), '"lint.allow[1].because" is missing'),
        (ALLOW.replace("versions/", "versions\\\\"), "must be a list of globs with / between folders"),
        (ALLOW.replace("0002*", "[02*"), "with a ] for each ["),
        (ALLOW.replace("versions/0002*", ""), "none of them empty"),
        (ALLOW.replace('["versions/0002*"]', "[]"), "leave it out to allow it everywhere"),
        (ALLOW.replace('["drop-column"]', "[]"), "must be a list of rules"),
        (ALLOW.replace("[[lint.allow]]", "[lint.allow]"), "must be an array of tables: [[lint.allow]]"),
        ("[lint]\nbaseline = 5\n", '"lint.baseline" is 5, but must be a text'),
        ("[lint]\nbaselin = 'x'\n", 'did you mean "lint.baseline"?'),
        ("[lint]\nexclude = ['versions\\\\2019_*']\n", "must be a list of globs with / between folders"),
    ],
)
def test_bad_setting_names_its_place_and_what_is_right(project: AlembicProject, text: str, says: str) -> None:
    configure(project, text)

    done = lint(project, "0002")

    assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_unknown_rule_of_the_command_line_is_not_blamed_on_the_settings(project: AlembicProject) -> None:
    configure(project, "[lint]\nenable = ['7xx']\n")

    assert "error: --enable: there is no rule" in lint(project, "0002", "--enable", "nope").stderr


# -- the baseline ------------------------------------------------------------------------------------------------
def test_what_was_there_when_linting_began_is_quiet_and_what_is_new_is_not(project: AlembicProject) -> None:
    written = lint(project, "--write-baseline")
    project.add("0003", 'op.drop_table("orders")')

    assert written.returncode == 0, written.stderr
    assert names(project, "base:heads") == ["drop-table"]
    assert kinds(project, "base:heads") == [("drop-column", "baseline")]


def test_report_says_how_many_are_known_and_how_to_list_them(project: AlembicProject) -> None:
    lint(project, "--write-baseline")

    short, long = lint(project, "base:heads"), lint(project, "base:heads", "-v")

    assert "nothing found, 1 known to the baseline in 2 revisions" in short.stdout
    assert "evolve lint -v" in short.stdout
    assert "0002.py:11: known EV204 drop-column" in long.stdout


def test_known_finding_counts_in_the_verdict(project: AlembicProject) -> None:
    lint(project, "--write-baseline")

    assert lint(project, "0002", "--require", "BACKWARD").returncode == 1


def test_without_the_baseline_all_is_told(project: AlembicProject) -> None:
    lint(project, "--write-baseline")

    assert names(project, "0002", "--no-baseline") == ["drop-column"]


def test_baseline_survives_another_name_of_the_file_and_other_lines(project: AlembicProject) -> None:
    lint(project, "--write-baseline")
    file = project.versions / "0002.py"
    (project.versions / "renamed.py").write_text(f"# moved\n\n\n{file.read_text()}")
    file.unlink()

    assert names(project, "base:heads") == []


def test_finding_that_is_gone_is_told_and_taken_out(project: AlembicProject) -> None:
    lint(project, "--write-baseline")
    file = project.versions / "0002.py"
    file.write_text(file.read_text().replace(DROP, ADD))

    told = names(project, "base:heads")
    lint(project, "--write-baseline")

    assert (told, names(project, "base:heads")) == (["allow-unused"], [])
    assert (project.root / BASELINE).read_text() == '{"evolve-baseline": 1}\n'


def test_run_over_a_part_neither_tells_of_the_rest_nor_takes_it_out(project: AlembicProject) -> None:
    lint(project, "--write-baseline")
    before = (project.root / BASELINE).read_text()
    project.add("0003", 'op.drop_table("orders")')

    told = names(project, "0001")
    lint(project, "--write-baseline", "0003")

    assert told == []
    assert set(before.splitlines()) < set((project.root / BASELINE).read_text().splitlines())


def test_table_that_is_new_in_the_same_rollout_makes_no_entry_gone(project: AlembicProject) -> None:
    lint(project, "--write-baseline")

    for command in (["init", "-q"], ["add", "alembic.ini"], [*IDENTITY, "commit", "-q", "-m", "before"]):
        subprocess.run(["git", *command], cwd=project.root, check=True)

    assert names(project, "--since", "HEAD", "--no-baseline") == []
    assert names(project, "--since", "HEAD") == []


def test_revision_that_was_removed_takes_its_entries_along(project: AlembicProject) -> None:
    lint(project, "--write-baseline")
    (project.versions / "0002.py").unlink()

    assert names(project, "0001") == ["allow-unused"]


def test_what_was_just_written_names_the_baseline_without_a_line(project: AlembicProject) -> None:
    report = json.loads(lint(project, "--write-baseline", "--format", "json").stdout)

    assert [each["allowed_by"] for each in report["suppressed"]] == [BASELINE]


def test_dry_run_shows_the_change_and_writes_nothing(project: AlembicProject) -> None:
    done = lint(project, "--write-baseline", "--dry-run")

    assert done.returncode == 0
    assert '+{"revision": "0002", "rule": "EV204"' in done.stdout
    assert not (project.root / BASELINE).exists()


def test_writing_again_changes_no_byte(project: AlembicProject) -> None:
    lint(project, "--write-baseline")
    before = (project.root / BASELINE).read_bytes()
    lint(project, "--write-baseline")

    assert (project.root / BASELINE).read_bytes() == before


def test_what_is_allowed_otherwise_is_not_written(project: AlembicProject) -> None:
    configure(project, ALLOW)
    lint(project, "--write-baseline")

    assert (project.root / BASELINE).read_text() == '{"evolve-baseline": 1}\n'


def test_baseline_is_found_where_the_settings_lie(project: AlembicProject) -> None:
    configure(project, "[lint]\nbaseline = 'ci/known.jsonl'\n")
    lint(project, "--write-baseline")

    done = evolve("-C", project.root, "lint", "base:heads", cwd=project.versions)

    assert (project.root / "ci" / "known.jsonl").exists()
    assert "1 known to the baseline" in done.stdout, done.stderr


def test_files_of_sql_have_a_baseline_too(tmp_path: Path) -> None:
    (tmp_path / "1.sql").write_text("DROP TABLE a;\n")
    evolve("lint", "1.sql", "--write-baseline", cwd=tmp_path)
    (tmp_path / "1.sql").write_text("-- one line more\nDROP TABLE a;\n")

    assert evolve("lint", "./1.sql", cwd=tmp_path).returncode == 0
    assert evolve("lint", "1.sql", "--no-baseline", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"evolve-baseline": 1}\n=======\n', "a merge left its marks in the baseline"),
        ('{"evolve-baseline": 9}\n', "upgrade evolve here"),
        ("[tool]\n", 'it does not begin with {"evolve-baseline": 1}'),
        ('{"evolve-baseline": 1}\n{"revision": "0002"}\n', f'{BASELINE}:2: "rule" must be a text'),
    ],
)
@pytest.mark.parametrize("options", [(), ("--write-baseline",)])
def test_bad_baseline_is_refused_and_left_as_it_is(
    project: AlembicProject, content: str, says: str, options: tuple[str, ...]
) -> None:
    (project.root / BASELINE).write_text(content)

    done = lint(project, *options)

    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert (project.root / BASELINE).read_text() == content


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--baseline", "none.jsonl"), 'the baseline "none.jsonl" cannot be read: No such file or directory'),
        (("--no-baseline", "--baseline", "x"), "give one of the two"),
        (("--no-baseline", "--write-baseline"), "give one of the two"),
        (("--dry-run",), "--dry-run without --write-baseline says nothing"),
        (("-", "--write-baseline"), "--write-baseline does not go with standard input"),
        (("--staged", "--write-baseline"), "--write-baseline does not go with --staged"),
    ],
)
def test_wrong_question(project: AlembicProject, arguments: tuple[str, ...], says: str) -> None:
    done = lint(project, *arguments)

    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


@pytest.mark.skipif(os.geteuid() == 0 and not UNPRIVILEGED, reason="root may write everywhere")
def test_folder_that_cannot_be_written_to(project: AlembicProject) -> None:
    folder = project.root / "locked"
    folder.mkdir(mode=0o500)

    done = evolve(
        "lint", "--write-baseline", "--baseline", "locked/b.jsonl", cwd=project.root, through=UNPRIVILEGED
    )

    assert (done.returncode, 'locked/b.jsonl": Permission denied' in done.stderr) == (2, True), done.stderr


# -- what another run finds ----------------------------------------------------------------------------------------
VIRTUAL = 'op.execute("ALTER TABLE orders ADD COLUMN twice bigint GENERATED ALWAYS AS (id * 2) VIRTUAL")'


def test_what_only_an_older_version_refuses_is_neither_gone_nor_unused_on_another(
    project: AlembicProject,
) -> None:
    project.add("0003", VIRTUAL)
    project.add("0004", f"{VIRTUAL}  # evolve: allow[needs-newer-postgres] because it waits for the upgrade")
    lint(project, "--pg-version", "16", "--write-baseline")

    assert names(project, "base:heads", "--pg-version", "18") == []


def test_baseline_of_an_older_version_is_kept_when_another_writes_it(project: AlembicProject) -> None:
    project.add("0003", VIRTUAL)
    lint(project, "--pg-version", "16", "--write-baseline")
    written = (project.root / BASELINE).read_text()

    lint(project, "--pg-version", "18", "--write-baseline")

    assert (project.root / BASELINE).read_text() == written


def test_finding_of_several_versions_is_gone_once_on_all(project: AlembicProject) -> None:
    """It is counted once, however many versions are looked at."""
    file = project.add("0003", 'op.execute("DROP TABLE a")\nop.execute("DROP TABLE a")')
    lint(project, "--write-baseline")
    file.write_text(file.read_text().replace('op.execute("DROP TABLE a")', "pass", 1))

    assert names(project, "base:heads") == ["allow-unused"]


def test_what_only_models_tell_is_not_unused_where_they_are_not_read(project: AlembicProject) -> None:
    project.add(
        "0003",
        "# evolve: allow[drop-column-still-mapped] because that release never ran\n"
        'op.drop_column("orders", "name")',
    )

    assert names(project, "base:heads") == ["drop-column", "drop-column"]
