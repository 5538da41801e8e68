"""Hash partitions: the method "hash"."""

from __future__ import annotations

from evolve.plugin_api import Plugin
from evolve_partition_hash.partitioner import Hash

plugin = Plugin(name="hash", api=1, partitioners=(Hash,))
