"""Fixtures that every test may use; each lives in the file of its concern in tests/support/."""

from __future__ import annotations

from support.alembic_project import make_project
from support.servers import database_url, make_database, make_template, scratch_server

__all__ = ["database_url", "make_database", "make_project", "make_template", "scratch_server"]
