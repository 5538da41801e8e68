"""Range partitions by time or by integer: the method "range"."""

from __future__ import annotations

from evolve.plugin_api import Plugin
from evolve_partition_range.partitioner import Range

plugin = Plugin(name="range", api=1, partitioners=(Range,))
