"""A run is read by Prometheus, by a log and by hooks while it works."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.backfill import numbers
from support.command_line import Running, evolve, start_evolve

pytestmark = pytest.mark.server

SLOWLY = (
    "backfill",
    "run",
    "numbers.n",
    "--set",
    "n + 1",
    "--max-batch",
    "50",
    "--max-rows-per-second",
    "200",
)


class Served:
    """A run that goes on for long, and the page of its metrics."""

    def __init__(self, process: Running) -> None:
        self.process = process
        self.lines: list[str] = []
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if "http://" in line:
                self._told.set()
        self._told.set()

    @property
    def url(self) -> str:
        assert self._told.wait(60)
        found = re.search(r"http://\S+/metrics", "".join(self.lines))
        assert found is not None, self.lines
        return found[0].rstrip('"}')

    def scrape(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        with urllib.request.urlopen(self.url, timeout=30) as page:  # noqa: S310  # one of ours
            text = page.read().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        of = {"name": "numbers.n", "table": "numbers", **labels}
        return self.scrape().get((f"evolve_backfill_{name}", tuple(sorted(of.items()))))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def served(*arguments: str, cwd: Path, url: str) -> Iterator[Served]:
    process = start_evolve(*arguments, "--metrics-port", "0", cwd=cwd, env={"EVOLVE_DATABASE_URL": url})
    run = Served(process)
    try:
        yield run
    finally:
        run.end()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.05)


def test_a_run_is_scraped_while_it_works(database_url: str, tmp_path: Path) -> None:
    numbers(database_url, 20_000)
    with served(*SLOWLY, cwd=tmp_path, url=database_url) as run:
        wait_for(lambda: (run.value("rows_total") or 0) >= 100)
        # Of one answer: the next may come after the next batch.
        seen = {name: value for (name, _), value in run.scrape().items()}
        assert seen["evolve_backfill_batches_total"] == seen["evolve_backfill_batch_seconds_count"]
        assert 0 < (run.value("progress_ratio") or 0) < 1
        assert run.value("state", state="running") == 1
        assert run.value("ranges", state="open") == 1
        assert run.value("workers") == 1
        assert run.value("rejects") == 0
        wait_for(lambda: (run.value("held_seconds_total", cause="rows per second") or 0) > 0)
        before = run.value("rows_total") or 0
        wait_for(lambda: (run.value("rows_total") or 0) > before)
        # What the page is read for all the time keeps nobody from stopping the run.
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(60) == 1
        with pytest.raises(urllib.error.URLError):
            run.scrape()


def test_a_port_that_is_in_use_is_refused_before_anything_is_done(database_url: str, tmp_path: Path) -> None:
    numbers(database_url, 10)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = evolve(
            "backfill", "run", "numbers.n", "--set", "1", "--metrics-port", port,
            cwd=tmp_path, env={"EVOLVE_DATABASE_URL": database_url},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: metrics cannot be served on 127.0.0.1:{port}: the port is in use",
        "  fix: give another --metrics-port, or 0 for any that is free",
    ]
    assert (
        evolve("backfill", "status", cwd=tmp_path, env={"EVOLVE_DATABASE_URL": database_url}).stdout
        == "no backfill has run here\n"
    )


@pytest.mark.parametrize("words", [("run", "numbers.n", "--set", "1"), ("undo", "numbers.n")])
def test_a_dry_run_serves_none(database_url: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = evolve(
        "backfill", *words, "--dry-run", "--metrics-port", "0",
        cwd=tmp_path, env={"EVOLVE_DATABASE_URL": database_url},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "--metrics-port serves nothing with --dry-run" in done.stderr


def test_who_tries_rejects_again_or_verifies_is_heard_of_as_well(database_url: str, tmp_path: Path) -> None:
    numbers(database_url, 30)
    (tmp_path / "evolve.toml").write_text(
        "[backfill]\non_event = ['sh -c \"cat >> heard\"']\n", encoding="utf-8"
    )

    def heard(*words: str) -> list[dict[str, object]]:
        (tmp_path / "heard").unlink(missing_ok=True)
        done = evolve("backfill", *words, cwd=tmp_path, env={"EVOLVE_DATABASE_URL": database_url})
        assert done.returncode in (1, 3), done.stderr
        return [json.loads(line) for line in (tmp_path / "heard").read_text().splitlines()]

    heard("run", "numbers.note", "--set", "(1 / (id % 2))::text", "--no-verify")
    for command, way in (("retry-rejects", "done"), ("verify", "verifying")):
        events = heard(command, "numbers.note", "--metrics-port", "0")
        assert (events[0]["event"], events[0]["way"]) == ("backfill.begin", way)
        assert (events[-1]["event"], events[-1]["rejects"]) == ("backfill.end", 15)


def test_the_log_is_json_to_the_end_and_hooks_hear_of_it(database_url: str, tmp_path: Path) -> None:
    numbers(database_url, 300)
    (tmp_path / "evolve.toml").write_text(
        '[backfill]\non_event = [\'sh -c "cat >> heard"\', "false"]\n', encoding="utf-8"
    )
    done = evolve(
        "backfill", "run", "numbers.note", "--set", "(1 / (id % 2))::text",
        "--max-rejects", "1", "--log-format", "json",
        cwd=tmp_path, env={"EVOLVE_DATABASE_URL": database_url},
    )  # fmt: skip
    assert done.returncode == 1
    log = [json.loads(line) for line in done.stderr.splitlines()]
    names = [line["event"] for line in log]
    assert names.count("backfill.fail") == 1
    assert log[names.index("backfill.fail")]["name"] == "numbers.note"
    assert names.count("hook.failed") == 1  # it is told once
    heard = [json.loads(line)["event"] for line in (tmp_path / "heard").read_text().splitlines()]
    assert heard[0] == "backfill.begin"
    assert heard[-1] == "backfill.fail"
    assert "backfill.message" not in heard
