"""Range partitions."""
