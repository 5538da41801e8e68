"""How long somebody who types waits for the language server: the newest of many revisions, edited time and again."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import time
from pathlib import Path

from support.benchmarks import FOLDER
from support.language_client import Editor
from support.long_history import write_history, write_revision

MANY = 500
EDITS = 30
_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: int) -> float:
    """Of a process and of all below it that live, with those that they have waited for."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(map(int, fields[11:15])) / _TICKS + sum(processor_seconds(int(child)) for child in children)


def test_an_edit_on_a_long_history(tmp_path: Path) -> None:
    project, cache = tmp_path / "project", tmp_path / "cache"
    ids = write_history(project, MANY)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(project)]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "history"]):
        subprocess.run([*git, *words], check=True)
    first = (project / "migrations" / "versions" / f"{ids[0]}_change.py").read_text()
    table = re.search(r"'(table_0_\d+)'", first)
    assert table is not None
    newest = write_revision(project, "f" * 12, ids[-1], f"op.create_index('ix_0', '{table[1]}', ['name'])")
    text = newest.read_text()
    times: list[float] = []
    with Editor(project, env={"EVOLVE_CACHE_DIR": str(cache)}) as editor:
        began = time.perf_counter()
        assert editor.open(newest)
        opened = time.perf_counter() - began
        editor.edit(newest, text.replace("ix_0", "ix_first"))
        used = processor_seconds(editor.process.pid)
        for number in range(1, EDITS + 1):
            began = time.perf_counter()
            assert editor.edit(newest, text.replace("ix_0", f"ix_{number}"))
            times.append(time.perf_counter() - began)
        used = (processor_seconds(editor.process.pid) - used) / EDITS
    result = {
        "schema": 1,
        "benchmark": "lsp_edit",
        "opened_seconds": round(opened, 3),
        "median_seconds": round(statistics.median(times), 4),
        "p95_seconds": round(statistics.quantiles(times, n=20)[-1], 4),
        "processor_seconds": round(used, 4),
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "lsp_edit.json").write_text(json.dumps(result, indent=2) + "\n")
    print("\n" + "\n".join(f"  {name}: {value}" for name, value in result.items()))  # noqa: T201  # it shows what it measured
    # The aim is 100 ms by the clock; on a machine that does other things too, the work is what can be held to it.
    assert used < 0.1
