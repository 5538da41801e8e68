"""Run a PostgreSQL server in a container, through testcontainers."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import secrets
import socket
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import DockerClient
    from testcontainers.community.postgres import PostgresContainer

DEFAULT_IMAGE = "postgres:18"
SUPERUSER = "postgres"

# The label that ties a container to the folder whose lock says whether its owner lives.
_LABEL = "evolve.scratch.folder"
_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_LOOPBACK = ("localhost", "127.0.0.1")
_PORT = 5432
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB"}


class NoEngine(Exception):
    """No container could be started; the text is one sentence."""


class Container:
    def __init__(self, container: PostgresContainer, url: str) -> None:
        self.url = url
        self._container = container

    def stop(self) -> None:
        self._container.stop()

    def let_go(self) -> None:
        """Leave the container running after this process."""

    @property
    def stop_command(self) -> str:
        return f"docker rm -f -v {self._container.get_wrapped_container().short_id}"


def image(major: int | None) -> str:
    """The image to run: that of `major`, else the one EVOLVE_SCRATCH_IMAGE names, else the default."""
    return f"postgres:{major}" if major else os.environ.get("EVOLVE_SCRATCH_IMAGE") or DEFAULT_IMAGE


def start(image_name: str, folder: Path, settings: Mapping[str, str]) -> Container:
    """Start a container that listens on the loopback interface: seconds, or minutes if it pulls the image.

    Raises:
        NoEngine: testcontainers is missing, no engine answers, or the image cannot be had.
    """
    check_engine()
    from docker.errors import DockerException

    password = secrets.token_hex(16)
    parameters = [
        part for name, value in {**_SETTINGS, **settings}.items() for part in ("-c", f"{name}={value}")
    ]
    with _without_reaper():
        container = _container_class()(
            image_name, username=SUPERUSER, password=password, dbname="postgres", driver=None
        )
        container.with_command(parameters).with_kwargs(labels={_LABEL: str(folder)})
        if _engine_is_here(container):
            # Docker's default is every interface of the machine.
            container.ports[str(_PORT)] = ("127.0.0.1", None)  # type: ignore[assignment]  # as docker-py reads it
        try:
            container.start()
        except DockerException as error:
            container.stop()
            raise NoEngine(f"the image {image_name} did not start: {_first_line(error)}") from error
        except BaseException:
            container.stop()
            raise
    host = container.get_container_host_ip()
    # By address: "localhost" may mean ::1 first, where nothing listens.
    host = "127.0.0.1" if host == "localhost" else host
    url = f"postgresql://{SUPERUSER}:{password}@{host}:{container.get_exposed_port(_PORT)}/postgres"
    return Container(container, url)


def check_engine() -> None:
    """Raise `NoEngine` where testcontainers is missing or no engine answers."""
    with _engine():
        pass


def stop_abandoned(folder: Path) -> bool:
    """Remove the containers whose owner had `folder`. False where no engine can be asked."""
    try:
        with _engine() as engine:
            for container in engine.containers.list(all=True, filters=_filter(folder)):
                container.remove(force=True, v=True)
    except NoEngine:
        return False
    return True


def running(folder: Path) -> bool:
    """True if the container of `folder` runs, or if no engine can be asked."""
    try:
        with _engine() as engine:
            return bool(engine.containers.list(filters=_filter(folder)))
    except NoEngine:
        return True


def _filter(folder: Path) -> dict[str, str | list[str] | bool]:
    return {"label": f"{_LABEL}={folder}"}


@contextlib.contextmanager
def _engine() -> Iterator[DockerClient]:
    """A client of the engine that testcontainers would use; it has answered."""
    if importlib.util.find_spec("testcontainers") is None:
        raise NoEngine('testcontainers is not installed: pip install "alembic-evolve[docker]"')
    from docker.errors import DockerException
    from testcontainers.core import docker_client

    _check_socket(docker_client.get_docker_host() or _DEFAULT_SOCKET)
    try:
        engine = docker_client.DockerClient(timeout=10).client
        with contextlib.closing(engine):
            engine.ping()
            yield engine
    except DockerException as error:
        raise NoEngine(f"the Docker engine refused: {_first_line(error)}") from error


def _check_socket(host: str) -> None:
    """Try the engine's socket by hand: docker-py takes seconds to find it dead, and leaks it."""
    scheme, _, path = host.partition("://")
    if "unix" not in scheme:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            raise NoEngine(f"no Docker engine answers at {path} ({error.strerror}); start one") from error


def _engine_is_here(container: PostgresContainer) -> bool:
    """True if the engine's loopback interface is ours: it runs on this machine, and we in no container."""
    from testcontainers.core.config import ConnectionMode

    client = container.get_docker_client()
    return client.get_connection_mode() is ConnectionMode.docker_host and client.host() in _LOOPBACK


def _container_class() -> type[PostgresContainer]:
    """The class under its current name; before testcontainers 4.15 it lived one level up."""
    with warnings.catch_warnings():
        # Older ones use what they themselves have deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            module = importlib.import_module("testcontainers.community.postgres")
        except ModuleNotFoundError:
            module = importlib.import_module("testcontainers.postgres")
    found: type[PostgresContainer] = module.PostgresContainer
    return found


@contextlib.contextmanager
def _without_reaper() -> Iterator[None]:
    """Start no Ryuk beside the container: abandoned ones are found by their label, without its image."""
    from testcontainers.core.config import testcontainers_config

    before = testcontainers_config.ryuk_disabled
    testcontainers_config.ryuk_disabled = True
    try:
        yield
    finally:
        testcontainers_config.ryuk_disabled = before


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
