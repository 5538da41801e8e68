"""A scratch server per test process, and fresh databases in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from evolve.postgres import scratch

MakeDatabase = Callable[..., str]
MakeTemplate = Callable[[str, Callable[[str], None]], str]


@pytest.fixture(scope="session")
def scratch_server() -> Iterator[scratch.Server]:
    """The server of this test process; EVOLVE_SCRATCH chooses where it comes from."""
    with scratch.server() as server:
        yield server


@pytest.fixture
def make_database(scratch_server: scratch.Server) -> Iterator[MakeDatabase]:
    """Call it, with the name of a template or without, for a fresh database's URL; all are dropped after."""
    made: list[str] = []

    def make(template: str | None = None) -> str:
        made.append(scratch_server.create_database(template=template))
        return made[-1]

    yield make
    for url in made:
        scratch_server.drop_database(url)


@pytest.fixture
def database_url(make_database: MakeDatabase) -> str:
    """The URL of an empty database that only this test sees."""
    return make_database()


@pytest.fixture(scope="session")
def make_template(scratch_server: scratch.Server) -> MakeTemplate:
    """Call it with a key and a function that fills the database whose URL it gets; returns a template's name.

    The function runs once per test process and key, and must close its connections. The name goes to
    `make_database`.
    """
    templates: dict[str, str] = {}

    def make(key: str, fill: Callable[[str], None]) -> str:
        if key not in templates:
            url = scratch_server.create_database()
            fill(url)
            templates[key] = scratch.database_name(url)
        return templates[key]

    return make
