"""What reading revisions leaves behind, which is nothing, and what it lets them do, which is nothing either."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import alembic.context
import alembic.op
import pytest
import sqlalchemy
from alembic.operations import Operations
from support.revision_files import Revisions, marks, sql_of

from evolve.revisions.recording_dbapi import Recorder
from evolve.sql.steps import Mark, Recording

Result = TypeVar("Result")


def _on_another_thread(call: Callable[[], Result]) -> Result:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


# -- what stays as it was -------------------------------------------------------------------------------
@pytest.mark.parametrize("ending", ["pass", "raise KeyError", "raise SystemExit"])
def test_the_process_is_as_before(tmp_path: Path, ending: str) -> None:
    revisions = Revisions(tmp_path / "p", ini="prepend_sys_path = .\n")
    (revisions.root / "shopapp.py").write_text(
        "import logging, os\nos.environ['SHOP'] = '1'\nlogging.basicConfig(level=1, force=True)\n"
    )

    def state() -> object:
        return (
            sorted(name for name in sys.modules if name.startswith(("shopapp", "missing", "r0", "sibling"))),
            list(sys.path),
            list(sys.meta_path),
            sys.dont_write_bytecode,
            list(warnings.filters),
            Path.cwd(),
            dict(os.environ),
            list(sys.argv),
            (sys.stdout, sys.stderr),
            (list(logging.getLogger().handlers), logging.getLogger().level),
            set(vars(Operations)),
            set(vars(alembic.op)),
            dict(vars(alembic.context)),
            (sqlalchemy.select, sqlalchemy.create_engine, time.sleep, sqlalchemy.Table.__init__),
            signal.getsignal(signal.SIGALRM),
        )

    before = state()
    revisions.capture_one(
        f"""
        import os, sys, warnings
        os.chdir("/")
        sys.path = ["/nowhere"]
        sys.meta_path.clear()
        sys.argv.append("x")
        sys.modules["missing_forged"] = sys
        warnings.simplefilter("error")
        {ending}
        """,
        head="""
        import shopapp, missing.deep, sibling
        from alembic.operations import Operations
        Forged = type("Forged", (), {"forged": classmethod(lambda cls, operations: None)})
        Operations.register_operation("forged")(Forged)
        """,
    )
    sys.modules.pop("missing_forged", None)

    assert state() == before


def test_a_package_gets_back_what_it_had(tmp_path: Path) -> None:
    """A stub below an installed package must not stay its attribute."""
    import rich

    Revisions(tmp_path / "p").capture_one("pass", head="import rich.no_such_module_here")

    assert not hasattr(rich, "no_such_module_here")


def test_libraries_do_not_see_stubs(tmp_path: Path) -> None:
    """A library that tries an optional import must find it missing."""
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "careful_lib.py").write_text(
        "try:\n    import optional_accelerator\n    FAST = True\nexcept ImportError:\n    FAST = False\n"
    )
    sys.path.append(str(library))
    try:
        recording = Revisions(tmp_path / "p").capture_one(
            "op.drop_table(f't_{careful_lib.FAST}')", head="import careful_lib"
        )
    finally:
        sys.path.remove(str(library))
        sys.modules.pop("careful_lib", None)

    assert sql_of(recording) == ['DROP TABLE "t_False"']


def test_what_revisions_print_is_swallowed(revisions: Revisions, capfd: pytest.CaptureFixture[str]) -> None:
    revisions.capture_one("print('noise')\nimport sys\nsys.stderr.write('noise')", head="print('noise')")

    assert capfd.readouterr() == ("", "")


def test_warnings_are_not_raised_nor_shown(revisions: Revisions) -> None:
    recording = revisions.capture_one("import warnings\nwarnings.warn('old')\nop.drop_table('t')")

    assert sql_of(recording) == ["DROP TABLE t"]


def test_no_bytecode_is_written(revisions: Revisions) -> None:
    revisions.write("sibling.py", "X = 1\n")
    revisions.capture_one("pass", head="import sibling")

    assert not list(revisions.root.rglob("__pycache__"))


def test_env_py_never_runs(tmp_path: Path) -> None:
    recording = Revisions(tmp_path / "p", env="raise SystemExit('env.py ran')").capture_one(
        "op.drop_table('t')"
    )

    assert sql_of(recording) == ["DROP TABLE t"]


def test_two_revisions_do_not_see_each_other(revisions: Revisions) -> None:
    revisions.add("a", "import builtins", head="STATE = []")
    revisions.add("b", "STATE.append(1)")

    assert marks(revisions.capture()[1]) == {Mark.RAISED}


# -- what revisions may not do --------------------------------------------------------------------------
@pytest.mark.parametrize(
    "upgrade",
    [
        "open('{target}', 'w')",
        "import pathlib; pathlib.Path('{target}').touch()",
        "import os; os.mkdir('{target}')",
        "import os; os.remove('{existing}')",
        "import os; os.rename('{existing}', '{target}')",
        "import shutil; shutil.rmtree('{directory}')",
        "import subprocess; subprocess.run(['touch', '{target}'])",
        "import os; os.system('touch {target}')",
        "import sqlite3; sqlite3.connect('{target}')",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import psycopg; psycopg.connect('host=127.0.0.1 port=9')",
        "import psycopg; psycopg.Connection.connect('host=127.0.0.1 port=9')",
    ],
)
def test_the_world_is_left_alone(tmp_path: Path, upgrade: str) -> None:
    existing = tmp_path / "directory" / "existing"
    existing.parent.mkdir()
    existing.write_text("kept")
    target = tmp_path / "made"

    recording = Revisions(tmp_path / "p").capture_one(
        "op.drop_table('t')\n" + upgrade.format(target=target, existing=existing, directory=existing.parent)
    )

    assert marks(recording) == {Mark.RAISED, Mark.SIDE_EFFECT}
    assert (existing.read_text(), target.exists(), sql_of(recording)) == ("kept", False, ["DROP TABLE t"])


def test_an_engine_of_its_own_records_too(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        """
        with create_engine("postgresql://production/shop").begin() as connection:
            connection.execute(sa.text("UPDATE orders SET paid = true"))
        """,
        head="from sqlalchemy import create_engine",
    )

    assert sql_of(recording) == ["UPDATE orders SET paid = true"]


def test_the_world_is_open_again_afterwards(revisions: Revisions, tmp_path: Path) -> None:
    revisions.capture_one("pass")

    (tmp_path / "made").write_text("x")

    assert (tmp_path / "made").read_text() == "x"


def test_other_threads_go_about_their_work(revisions: Revisions, tmp_path: Path) -> None:
    done = threading.Event()
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            (tmp_path / "other").write_text(str(number))
            time.sleep(0.001)
            number += 1
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    revisions.capture_one("for _ in range(2000):\n    op.execute('UPDATE t SET a = 1')")
    stop.set()
    thread.join()

    assert done.is_set()


# -- time -----------------------------------------------------------------------------------------------
_LOOPS = [
    "while True: op.get_bind().execute(sa.text('SELECT 1 FROM t')).fetchall()",
    "while True:\n    try:\n        op.execute('UPDATE t SET a = 1')\n    except Exception: pass",
    "while True:\n    try:\n        sum(range(100))\n    except: pass",
]


@pytest.mark.parametrize("upgrade", _LOOPS)
def test_a_loop_without_end_ends(revisions: Revisions, upgrade: str) -> None:
    recording = revisions.capture_one("op.drop_table('t')\n" + upgrade, time_limit=0.2)

    assert (Mark.TIMED_OUT in marks(recording), sql_of(recording)[0]) == (True, "DROP TABLE t")


@pytest.mark.parametrize("upgrade", _LOOPS)
def test_and_on_another_thread(revisions: Revisions, upgrade: str) -> None:
    recording = _on_another_thread(lambda: revisions.capture_one(upgrade, time_limit=0.2))

    assert Mark.TIMED_OUT in marks(recording)


def test_a_file_that_loads_for_ever(revisions: Revisions) -> None:
    recording = revisions.capture_one("pass", head="while True: pass", time_limit=0.2)

    assert Mark.TIMED_OUT in marks(recording)


def test_the_next_revision_is_read_after_one_that_timed_out(revisions: Revisions) -> None:
    revisions.add("a", "while True: op.execute('UPDATE t SET a = 1')")
    revisions.add("b", "op.drop_table('t')")

    _, second = revisions.capture(time_limit=0.2)

    assert (sql_of(second), second.remarks) == (["DROP TABLE t"], ())


def test_sleeping_takes_no_time(revisions: Revisions) -> None:
    started = time.monotonic()

    revisions.capture_one("import time\ntime.sleep(60)\nsleep(60)", head="from time import sleep")

    assert time.monotonic() - started < 5


def test_an_alarm_that_was_set_still_rings(revisions: Revisions) -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        revisions.capture_one("while True: pass", time_limit=0.1)
        time.sleep(0.4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert rung == [signal.SIGALRM]


def test_a_flood_of_statements_is_cut_off(revisions: Revisions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve.revisions.recording_dbapi.MOST_STATEMENTS", 50)

    recording = revisions.capture_one(
        "while True:\n    try:\n        op.execute('UPDATE t SET a = 1')\n    except Exception: pass"
    )

    assert (len(recording.statements), marks(recording)) == (50, {Mark.TIMED_OUT})


def test_a_late_alarm_never_escapes(revisions: Revisions) -> None:
    """The limit may pass at any instant, while a revision ends or while the next begins."""
    for number in range(12):
        revisions.add(f"r{number}", "op.execute('UPDATE t SET a = 1')")
    generator = random.Random(7)  # moments, not secrets

    for _ in range(40):
        recordings: list[Recording] = revisions.capture(time_limit=generator.uniform(0.0001, 0.003))

        assert len(recordings) == 12


def test_captures_on_two_threads_wait_for_each_other(tmp_path: Path) -> None:
    projects = [Revisions(tmp_path / name) for name in ("p", "q")]
    for revisions in projects:
        for number in range(30):
            revisions.add(f"{revisions.root.name}{number}", f"op.drop_table('{revisions.root.name}')")
    results: dict[str, list[Recording]] = {}
    threads = [
        threading.Thread(target=lambda r=revisions: results.__setitem__(r.root.name, r.capture()))
        for revisions in projects
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {sql for recording in results["p"] for sql in sql_of(recording)} == {"DROP TABLE p"}
    assert {sql for recording in results["q"] for sql in sql_of(recording)} == {"DROP TABLE q"}


def test_a_recorder_at_rest_writes_nothing_down() -> None:
    recorder = Recorder()
    recorder.record("DROP TABLE t", None)

    assert recorder.statements == []
