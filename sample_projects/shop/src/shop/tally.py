"""How many transactions there were, how long they took, and what went wrong."""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

ERRORS_KEPT = 10


class Tally:
    """Counts by kind of transaction; times in seconds, reported in milliseconds.

    `took` runs from the moment a transaction began, `waited` from the moment it was due: when the shop stands
    still for a second, each client sees one slow transaction, but everybody who came in that second waited.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._took: dict[str, array[float]] = {}
        self._failed: dict[str, int] = {}
        self._retried = 0
        self._errors: list[str] = []
        self._waits = array("d")
        self._longest_wait = 0.0
        self._longest_wait_of: dict[str, str] | None = None

    def count(self, kind: str, *, took: float, waited: float, error: str | None) -> None:
        with self._lock:
            self._took.setdefault(kind, array("d")).append(took)
            self._failed.setdefault(kind, 0)
            self._waits.append(waited)
            if waited > self._longest_wait:
                self._longest_wait = waited
                self._longest_wait_of = {
                    "kind": kind,
                    "until": datetime.now(UTC).isoformat(timespec="milliseconds"),
                }
            if error is not None:
                self._failed[kind] += 1
                if len(self._errors) < ERRORS_KEPT:
                    self._errors.append(f"{kind}: {error}")

    def retry(self) -> None:
        with self._lock:
            self._retried += 1

    def as_dict(self) -> dict[str, Any]:
        with self._lock:
            took = sorted(seconds for kind in self._took.values() for seconds in kind)
            waits = sorted(self._waits)
            return {
                "transactions": len(took),
                "failed": sum(self._failed.values()),
                "retried": self._retried,
                "errors": list(self._errors),
                "p50_ms": _percentile(took, 50),
                "p99_ms": _percentile(took, 99),
                "longest_ms": _percentile(took, 100),
                "wait_p99_ms": _percentile(waits, 99),
                "longest_wait_ms": _percentile(waits, 100),
                "longest_wait_of": self._longest_wait_of,
                "by_kind": {
                    kind: {
                        "transactions": len(seconds),
                        "failed": self._failed[kind],
                        "longest_ms": _percentile(sorted(seconds), 100),
                    }
                    for kind, seconds in sorted(self._took.items())
                },
            }


def _percentile(ascending: Sequence[float], percent: int) -> float:
    """Milliseconds that `percent` of the values do not exceed; 0.0 of none."""
    if not ascending:
        return 0.0
    return round(ascending[math.ceil(len(ascending) * percent / 100) - 1] * 1000, 1)
