"""Fixtures and tools for tests, one concern per file."""
