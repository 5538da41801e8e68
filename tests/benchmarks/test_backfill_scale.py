"""What a row costs in a large table against a small one, and how much memory the command takes for either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.backfill_bench import RANDOM, ROWS, bench
from support.benchmarks import FOLDER

pytestmark = pytest.mark.server

SMALL = max(1000, ROWS // 10)
LARGE = ROWS * 10
COMMAND = ("backfill", "run", "accounts.email_norm", "--set", "lower(email)", "--undo-journal", "off")


def test_a_row_costs_the_same_in_a_large_table(tmp_path: Path) -> None:
    """Processor time of the server for each row, and the most memory that the command took."""
    found: dict[str, dict[str, float]] = {}
    with bench() as server:
        for rows in (SMALL, LARGE):
            memory = 0

            def command(url: str) -> None:
                nonlocal memory
                with (tmp_path / "said").open("w") as said:
                    process = subprocess.Popen(
                        [sys.executable, "-m", "evolve", *COMMAND],
                        env={**os.environ, "EVOLVE_DATABASE_URL": url},
                        cwd=tmp_path,
                        stdout=said,
                        stderr=said,
                    )
                    _, status, used = os.wait4(process.pid, 0)
                process.returncode = status
                assert status == 0, (tmp_path / "said").read_text()
                memory = max(memory, used.ru_maxrss)

            costs = server.costs(
                server.template(RANDOM, rows=rows), {"backfill": command}, rounds=1 if rows == LARGE else 5
            )
            found[f"{rows:,} rows"] = {
                "microseconds": costs["backfill"].cpu / rows * 1e6,
                "seconds": costs["backfill"].seconds,
                "megabytes": memory / 1000,
            }
    for name, each in found.items():
        print(  # noqa: T201  # it shows what it measured
            f"  {name:18} {each['microseconds']:6.2f} µs of server CPU a row, {each['seconds']:7.1f} s,"
            f" {each['megabytes']:6.1f} MB in the command"
        )
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "backfill_scale.json").write_text(json.dumps(found, indent=2) + "\n")
