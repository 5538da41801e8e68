"""Change the schema of a live PostgreSQL database without stopping the application."""

__version__ = "0.1.0"
