"""Versions of an application that report to the registry, as processes of it would."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase

from evolve import client
from support.alembic_project import sqlalchemy_url


@contextmanager
def deployed(url: str, models: type[DeclarativeBase], version: str) -> Iterator[Engine]:
    """One instance of that version, alive until the block ends; it has told what it maps when the block begins."""
    engine = create_engine(sqlalchemy_url(url), connect_args={"application_name": "app"})
    heart = client.register(engine, version=version, models=models, interval=0.2)
    engine.connect().close()
    try:
        until(lambda: told(url, version))
        yield engine
    finally:
        heart.leave()
        engine.dispose()


def told(url: str, version: str) -> bool:
    return bool(
        rows(
            url,
            "SELECT FROM evolve_client.instance JOIN evolve_client.mapping USING (role, digest)"
            f" WHERE version = '{version}' AND gone IS NULL",
        )
    )


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)
