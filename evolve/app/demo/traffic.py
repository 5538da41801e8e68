"""A release of the shop in use: a process that reads and writes until it is told to stop, and reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evolve.errors import Refused

_PATIENCE = 20.0  # seconds to connect, and to end


class TrafficFailed(Refused):
    def __init__(self, version: str, output: str) -> None:
        super().__init__(f"the traffic of shop {version} did not run: {output.strip() or 'no output'}")


@dataclass(frozen=True, slots=True)
class Report:
    """What the clients of one release saw.

    Args:
        longest_ms: the longest wait from the moment a transaction was due, so that queueing counts.
        lost: rows that do not say what was written to them last.
    """

    version: str
    transactions: int
    failed: int
    retried: int
    longest_ms: float
    p99_ms: float
    checked: int
    lost: int
    errors: tuple[str, ...]


class Traffic:
    """Started by the constructor; `stop` ends it and returns its report.

    Args:
        shop: the folder of the sample project.
        share: "K/N": it writes to this share of the users, so that what it wrote can be checked.
    """

    def __init__(self, version: str, shop: Path, url: str, *, clients: int, rate: float, share: str) -> None:
        self.version = version
        self.ledger = shop / f"{version}.ledger"
        self._report = shop / f"{version}.json"
        command = [sys.executable, "-m", "shop.traffic", "--version", version, "--share", share]
        command += ["--clients", str(clients), "--rate", str(rate)]
        command += ["--report", str(self._report), "--ledger", str(self.ledger)]
        self._process = subprocess.Popen(  # our own sample, our own arguments
            command,
            cwd=shop,
            env=environment(shop, url),
            stdin=subprocess.PIPE,  # it ends when this closes: no traffic outlives its demo
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._await_first_report()

    def _await_first_report(self) -> None:
        ends = time.monotonic() + _PATIENCE
        while not self._report.exists():
            if self._process.poll() is not None or time.monotonic() > ends:
                self.kill()
                raise TrafficFailed(self.version, self._output())
            time.sleep(0.05)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> Report:
        """End it in order; it first reads again all that it wrote.

        Raises:
            TrafficFailed: it had ended before, or did not end now.
        """
        if not self.alive:
            raise TrafficFailed(self.version, self._output())
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise TrafficFailed(self.version, "it did not end when asked to") from error
        finally:
            self._close()
        return read_report(self._report)

    def kill(self) -> None:
        if self.alive:
            self._process.kill()
            self._process.wait()

    def _output(self) -> str:
        text = self._process.stdout.read() if self._process.stdout else ""
        self._close()
        return text

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def read_report(file: Path) -> Report:
    found = json.loads(file.read_text())
    return Report(
        version=str(found["version"]),
        transactions=int(found["transactions"]),
        failed=int(found["failed"]),
        retried=int(found["retried"]),
        longest_ms=float(found["longest_wait_ms"]),
        p99_ms=float(found["wait_p99_ms"]),
        checked=int(found["checked"]),
        lost=-1 if found["lost"] is None else int(found["lost"]),
        errors=tuple(map(str, found["errors"])),
    )


def environment(shop: Path, url: str) -> Mapping[str, str]:
    """What the shop's programs and `evolve` need to find each other."""
    return {
        **os.environ,
        "SHOP_DATABASE_URL": url,
        "EVOLVE_DATABASE_URL": url,
        "PYTHONPATH": str(shop / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
