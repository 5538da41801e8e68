"""The web page of `evolve dashboard`: changes, backfills and partitions of one database; needs the extra `web`."""
