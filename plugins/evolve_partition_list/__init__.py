"""List partitions, of named sets of values or of a window of integers that moves on: the method "list"."""

from __future__ import annotations

from evolve.plugin_api import Plugin
from evolve_partition_list.partitioner import List

plugin = Plugin(name="list", api=1, partitioners=(List,))
