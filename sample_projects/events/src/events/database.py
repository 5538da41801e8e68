"""Where the events are kept."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Engine, make_url


def create_engine(url: str, *, application_name: str, **options: Any) -> Engine:
    """Connect through psycopg 3, whether or not `url` names the driver."""
    target = make_url(url).set(drivername="postgresql+psycopg")
    return sqlalchemy.create_engine(target, connect_args={"application_name": application_name}, **options)
