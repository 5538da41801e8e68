"""`evolve dashboard` as a process: it prints where it is, serves, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import urllib.request
from pathlib import Path

import pytest
from support.command_line import evolve as run_evolve
from support.command_line import start_evolve


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(database_url: str, tmp_path: Path, number: int) -> None:
    process = start_evolve("dashboard", "--port", "0", "--database-url", database_url, cwd=tmp_path)
    assert process.stdout is not None
    try:
        link = process.stdout.readline().strip()
        with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(link) as answer:
            assert "<h1>Overview</h1>" in answer.read().decode()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, said
    assert "Traceback" not in said


def test_without_the_extra_it_names_it(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError(name='uvicorn')\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = run_evolve("dashboard", cwd=tmp_path, env={"PYTHONPATH": path})
    assert done.returncode == 2
    assert "the dashboard needs uvicorn" in done.stderr
    assert "alembic-evolve[web]" in done.stderr
