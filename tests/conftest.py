"""Fixtures that every test may use; each lives in the file of its concern in tests/support/."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings
from support.alembic_project import make_project
from support.benchmarks import compare
from support.command_line import CACHE
from support.golden import golden
from support.servers import database_url, make_database, make_template, scratch_server
from support.shop import make_stage

__all__ = [
    "compare",
    "database_url",
    "golden",
    "make_database",
    "make_project",
    "make_stage",
    "make_template",
    "scratch_server",
]


os.environ["EVOLVE_CACHE_DIR"] = CACHE.name

# A job started in the background, or by nohup, has signals ignored, and so would every process that a test interrupts.
for _signal, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

# Two test processes on two cores: a slow example tells of the machine, not of the code.
settings.register_profile("evolve", settings(), deadline=None)
settings.load_profile("evolve")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the files in tests/golden/ instead of comparing"
    )
    parser.addoption("--long", action="store_true", help="run the tests marked long as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        os.environ.setdefault("EVOLVE_FUZZ", "3")  # random walks through the scene of each recipe
        return
    skip = pytest.mark.skip(reason="takes minutes; run by make test-long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)
