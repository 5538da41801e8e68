"""Where the shop's database is, and what all releases agree on about it: names and types."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import URL, BigInteger, DateTime, Engine, Text, make_url

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
TYPES = {str: Text, int: BigInteger, datetime: DateTime(timezone=True)}


def create_engine(url: str, *, application_name: str, **options: Any) -> Engine:
    """Connect through psycopg 3; `application_name` is what the server's administrator sees."""
    return sqlalchemy.create_engine(
        driver_url(url), connect_args={"application_name": application_name}, **options
    )


def driver_url(url: str) -> URL:
    """Take the URL as hosting providers give it (`postgres://`, `postgresql://`) and name the driver."""
    scheme, separator, rest = url.partition("://")
    if scheme in {"postgres", "postgresql"}:
        scheme = "postgresql+psycopg"
    return make_url(f"{scheme}{separator}{rest}")
