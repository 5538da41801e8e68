"""The vocabulary that every lane speaks: names, operations, steps, locks, and the replayed schema."""
