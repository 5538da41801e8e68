"""From a live table and a partitioner to the steps that partition it online, and the upkeep that follows. Pure."""
