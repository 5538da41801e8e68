"""How fast a partition is archived, beside a bare COPY of the same rows, and how much memory that takes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from support.orders import execute

from evolve.postgres import scratch

pytestmark = pytest.mark.server

ROWS = int(os.environ.get("EVOLVE_BENCH_ARCHIVE_ROWS", "800000"))

_MAKE = f"""
CREATE TABLE orders (id int, customer int, placed timestamptz NOT NULL, amount numeric(12, 2), note text, status text)
    PARTITION BY RANGE (placed);
CREATE TABLE orders_all PARTITION OF orders DEFAULT;
INSERT INTO orders SELECT g, g % 1000, now() - g * interval '1 second', (g % 1000)::numeric, md5(g::text), 'paid'
  FROM generate_series(1, {ROWS}) AS g;
"""

# In a process of its own: what it takes at most is known then.
_RUN = """
import resource, sys, time
from pathlib import Path
from evolve.app.archive_partition import Folder, archive
from evolve.app.archive_file import refuse_without_pyarrow
from evolve.sql.names import QualifiedName
import pyarrow, pyarrow.csv, pyarrow.parquet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
archive(sys.argv[1], QualifiedName("orders"), [QualifiedName("orders_all")], Folder(Path(sys.argv[2]), sys.argv[3]))
took = time.perf_counter() - began
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_archive_beside_a_bare_copy(tmp_path: Path) -> None:
    found: dict[str, float] = {}
    with scratch.server() as server:
        url = server.create_database()
        execute(url, _MAKE)
        execute(url, "VACUUM ANALYZE orders_all")
        for round_ in range(3):
            for name in ("copy", "copy | gzip -1", "parquet", "csv.gz"):
                took, memory = (
                    _bare(url, tmp_path / "bare", zipped="gzip" in name)
                    if name.startswith("copy")
                    else _archived(url, tmp_path / f"{name}{round_}", name)
                )
                found[name] = min(took, found.get(name, took))
                found[f"{name}: MB"] = memory / 1024
    rates = {name: round(ROWS / took) for name, took in found.items() if "MB" not in name}
    print(json.dumps({"rows": ROWS, "rows/s": rates, **{n: round(v) for n, v in found.items() if "MB" in n}}))  # noqa: T201
    assert rates["csv.gz"] >= 0.8 * rates["copy | gzip -1"]
    assert max(found["parquet: MB"], found["csv.gz: MB"]) < 300


def _bare(url: str, path: Path, *, zipped: bool) -> tuple[float, float]:
    began = time.perf_counter()
    with (
        psycopg.connect(url) as connection,
        connection.cursor() as cursor,
        gzip.open(path, "wb", compresslevel=1) if zipped else path.open("wb") as file,
        cursor.copy("COPY orders_all TO STDOUT (FORMAT csv)") as copy,
    ):
        for row in copy:
            file.write(row)
    return time.perf_counter() - began, 0.0


def _archived(url: str, folder: Path, format_: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, url, str(folder), format_], capture_output=True, text=True, check=True
    )
    took, memory = map(float, done.stdout.split())
    return took, memory
