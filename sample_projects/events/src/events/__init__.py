"""What devices report, in one table that only ever grows."""
