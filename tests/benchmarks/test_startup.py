"""What a user waits for before anything happens: the command line, and a scratch server."""

from __future__ import annotations

import subprocess
import sys

from support.benchmarks import Compare

from evolve.postgres import scratch


def python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def test_help_against_bare_python_with_click(compare: Compare) -> None:
    ratio = compare(lambda: python("-m", "evolve", "--help"), lambda: python("-c", "import click"))
    assert ratio < 2


def test_database_from_a_template_against_a_server_of_its_own(compare: Compare) -> None:
    def start() -> None:
        with scratch.server("embedded"):
            pass

    with scratch.server("embedded") as server:
        template = scratch.database_name(server.create_database())

        def clone() -> None:
            with server.database(template=template):
                pass

        assert compare(clone, start, rounds=7) < 0.5
