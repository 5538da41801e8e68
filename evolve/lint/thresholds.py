"""Where a small table ends and a hot one begins, and how fast a server works through one."""

from __future__ import annotations

from evolve.lint.facts import Size
from evolve.values import dataclass

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`[tool.evolve.lint.sizes]`.

    The default speeds are what a network disk gives, since a large table is not in memory. From memory
    tests/benchmarks/test_lint_throughput.py measured 1,000 and more, 90 and 125 on an idle machine.

    Args:
        small_rows: a table is small up to so many rows,
        small_mb: and up to so many megabytes, with its indexes.
        hot_writes: rows written per second from which on a table is hot.
        large_gb: gigabytes, with its indexes, from which on reading or rewriting it weighs as on a hot one.
        scan_mb_s: megabytes of a table that are read per second.
        rewrite_mb_s: that are written anew per second.
        index_mb_s: that are read and sorted for an index per second.
        days: age in days from which on facts are stale.
    """

    small_rows: int = 10_000
    small_mb: int = 10
    hot_writes: int = 100
    large_gb: int = 50
    scan_mb_s: int = 200
    rewrite_mb_s: int = 50
    index_mb_s: int = 50
    days: int = 30

    def is_small(self, size: Size) -> bool:
        few = size.rows is None or size.rows <= self.small_rows
        return few and size.bytes <= self.small_mb * MB and not self.is_hot(size)

    def is_hot(self, size: Size) -> bool:
        return size.writes_per_second is not None and size.writes_per_second >= self.hot_writes

    def is_large(self, size: Size) -> bool:
        return size.bytes >= self.large_gb * 1000 * MB
