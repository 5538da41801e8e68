"""The socket and the server of the page, until somebody says stop."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from evolve.errors import Misuse, Refused

if TYPE_CHECKING:
    from starlette.types import ASGIApp

VIEWERS = 500  # connections at once; more are answered with 503
PATIENCE = 10.0  # seconds that a connection may take to ask for something
_GRACE = 2  # seconds that requests under way may take at the end


class PublicAddress(Misuse):
    def __init__(self, address: str) -> None:
        super().__init__(
            f"--address {address} can be reached from other machines",
            why="the token, and all that the page shows, would go over the network without encryption",
            fix="leave it at 127.0.0.1 and come through a tunnel (ssh -L), or say --i-know",
        )


class CannotServe(Misuse):
    def __init__(self, address: str, port: int, error: OSError) -> None:
        place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        super().__init__(
            f"the page cannot be served on {place}: {_REASONS.get(error.errno or 0, error.strerror or str(error))}",
            fix="give another --port, or 0 for any that is free"
            if error.errno in (errno.EADDRINUSE, errno.EACCES)
            else "give an address of this machine: --address 127.0.0.1",
        )


class ServingEnded(Refused):
    def __init__(self) -> None:
        super().__init__("the page is not served any more", fix="start evolve dashboard again")


_REASONS = {
    errno.EADDRINUSE: "the port is in use",
    errno.EACCES: "this user may not use the port",
    errno.EADDRNOTAVAIL: "it is no address of this machine",
}


def listening(address: str, port: int, *, i_know: bool) -> tuple[socket.socket, bool]:
    """The socket, and whether only this machine reaches it.

    Args:
        address: "" is every one of this machine.
        port: 0 takes any that is free.

    Raises:
        PublicAddress, CannotServe
    """
    try:
        found = socket.getaddrinfo(address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, place = found[0]
        local = ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback
        if not (local or i_know):
            raise PublicAddress(address or "0.0.0.0")  # noqa: S104  # it is refused
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(place)
            bound.listen(128)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise CannotServe(address, port, error) from error
    except UnicodeError as error:  # what is too long for the name of a machine, or has empty parts
        raise CannotServe(address, port, OSError(0, "it is no address of a machine")) from error
    return bound, local


def address_of(bound: socket.socket, address: str) -> str:
    """The URL of the page, for who is on this machine; for others where they reach it by a name."""
    place, port = bound.getsockname()[:2]
    number = ipaddress.ip_address(str(place).partition("%")[0])
    if number.is_unspecified:
        host = "localhost"
    elif number.is_loopback:
        host = str(number)  # a name could stand for two addresses, of which another serves the second
    else:
        host = address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


class _Prompt(H11Protocol):
    """Hangs up on who asks for nothing, or too slowly: connections are few."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        self._expect_nothing()
        self._limit = self.loop.call_later(PATIENCE, self._hang_up)

    def _expect_nothing(self) -> None:
        if self._limit is not None:
            self._limit.cancel()

    def _hang_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


@contextmanager
def served(application: ASGIApp, bound: socket.socket, closing: Callable[[], None]) -> Iterator[Thread]:
    """Serve inside the block, in a thread: signals are the caller's.

    Args:
        closing: called at the end, to let go of those who listen.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            http=_Prompt,
            log_config=None,
            log_level="error",  # whoever sends nonsense does not fill the terminal
            access_log=False,  # the token stands in a URL
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=VIEWERS,
            timeout_graceful_shutdown=_GRACE,
            ws="none",
        )
    )
    thread = Thread(target=server.run, kwargs={"sockets": [bound]}, name="dashboard", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        closing()
        server.should_exit = True
        thread.join(2 * _GRACE + 1)
        bound.close()
