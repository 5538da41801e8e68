"""The command line itself: it starts fast, loads only what it needs, and its exit status can be trusted."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from evolve import __version__, cli
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.errors import Misuse, Refused

HEAVY = ("sqlalchemy", "alembic", "psycopg", "rich", "postgast", "tomlkit", "testcontainers", "docker")

# Runs `evolve trial`, whose body is the text given; for what needs a process of its own.
TRIAL = """
import sys, time, types, click
from evolve import cli
@click.command()
def command():
{body}
sys.modules["evolve.cli.trial"] = types.SimpleNamespace(command=command)
cli.COMMANDS["trial"] = ("trial", "")
sys.argv = ["evolve", "trial"]
cli.main()
"""

Run = Callable[..., int]


def start(body: str) -> subprocess.Popen[str]:
    program = TRIAL.format(body=textwrap.indent(body, "    "))
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call it with a command and its arguments; returns the exit status of `evolve trial`."""

    def execute(command: click.Command, *arguments: str, before: tuple[str, ...] = ()) -> int:
        monkeypatch.setitem(sys.modules, "evolve.cli.trial", SimpleNamespace(command=command))
        monkeypatch.setitem(cli.COMMANDS, "trial", ("trial", "a command for a test"))
        monkeypatch.setattr(sys, "argv", ["evolve", *before, "trial", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert isinstance(left.value.code, int)
        return left.value.code

    return execute


def raising(error: Exception) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


# -- start ---------------------------------------------------------------------------------------------------
def test_help_imports_nothing_heavy() -> None:
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "evolve", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in traced.stderr.splitlines()}
    assert "click" in imported
    assert imported.isdisjoint(HEAVY)


def test_help_comes_within_150_milliseconds() -> None:
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "evolve", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Processor time, and the best of several: other tests may have the processors.
    assert min(once() for _ in range(10)) < 0.15


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "evolve", name, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in traced.stderr.splitlines()}
    assert imported.isdisjoint({"sqlalchemy", "alembic", "psycopg", "postgast"})


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evolve", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out == f"evolve {__version__}\n"


def test_every_command_has_a_module_and_a_line_of_help() -> None:
    context = click.Context(cli.evolve)
    for name, (_, line) in cli.COMMANDS.items():
        assert isinstance(cli.evolve.get_command(context, name), click.Command)
        assert line.endswith(".")


# -- exit status ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("error", "status"), [(Refused("no"), 1), (Misuse("what?"), 2)])
def test_error_decides_the_status(run: Run, error: Exception, status: int) -> None:
    assert run(raising(error)) == status


def test_error_says_what_why_and_fix_on_stderr(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(raising(Misuse("it broke", why="it matters", fix="mend it")))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: it broke\n  why: it matters\n  fix: mend it\n")


def test_unknown_command_names_the_nearest(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(Refused("never")), before=("trail",)) == 2
    assert "there is no command 'trail'; did you mean 'trial'?" in capsys.readouterr().err


def test_unknown_option_is_a_wrong_question(run: Run) -> None:
    assert run(raising(Refused("never")), "--nonsense") == 2


def test_bug_keeps_its_traceback_and_is_no_answer(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(ZeroDivisionError("oops"))) == 70
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_command_that_exits_by_itself_is_believed(run: Run) -> None:
    @click.command()
    def command() -> None:
        raise SystemExit(1)

    assert run(command) == 1


def test_interrupt_is_130_without_a_traceback() -> None:
    running = start('print("ready", flush=True)\ntime.sleep(60)')
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert (running.returncode, said.strip()) == (130, "interrupted")


@pytest.mark.parametrize("body", ['for i in range(100_000): click.echo("line")', 'print("still buffered")'])
def test_reader_that_goes_away_is_no_error(body: str) -> None:
    running = start(f"sys.stdin.readline()\n{body}")
    assert running.stdout is not None
    running.stdout.close()
    running.stdout = None
    _, said = running.communicate("go on\n", timeout=30)
    assert (running.returncode, said) == (141, "")


# -- shared options ------------------------------------------------------------------------------------------
@click.command()
@project_options
@database_url_option
@format_option("text", "json")
def show(location: Location, database_url: str | None, report_format: str) -> None:
    shown = [str(location.directory), str(location.config_file), database_url, report_format]
    click.echo(json.dumps(shown))


def test_options_have_defaults(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVOLVE_DATABASE_URL", raising=False)
    run(show)
    assert json.loads(capsys.readouterr().out) == [".", "None", None, "text"]


def test_directory_works_before_the_command(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(show, before=("-C", str(tmp_path)))
    assert json.loads(capsys.readouterr().out)[0] == str(tmp_path)


def test_directory_after_the_command_wins(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(show, "-C", str(tmp_path), "--config", "a.toml", before=("-C", "/", "--config", "b.toml"))
    assert json.loads(capsys.readouterr().out)[:2] == [str(tmp_path), "a.toml"]


def test_directory_that_is_not_there_is_a_wrong_question(run: Run) -> None:
    assert run(show, "-C", "/nonexistent") == 2


def test_database_url_comes_from_the_environment(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOLVE_DATABASE_URL", "postgresql://db/x")
    run(show)
    assert json.loads(capsys.readouterr().out)[2] == "postgresql://db/x"


def test_settings_are_read_from_the_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "evolve.toml").write_text("[lnit]\n")

    @click.command()
    @project_options
    def command(location: Location) -> None:
        location.config()

    assert run(command, "-C", str(tmp_path)) == 2


# -- completion ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_and_says_where_it_goes(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evolve", "completion", shell], capture_output=True, text=True, check=True
    )
    assert "_EVOLVE_COMPLETE" in done.stdout
    assert "save this as" in done.stderr


def test_bash_reads_the_script_and_completes_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evolve"],
        env={
            **os.environ,
            "_EVOLVE_COMPLETE": "bash_complete",
            "COMP_WORDS": "evolve comp",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "plain,completion\n"
