"""Sensors of a backfill, one a file; `make_sensor` knows them all."""
