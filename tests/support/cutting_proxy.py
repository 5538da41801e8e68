"""A proxy before a server that cuts connections in their COMMIT, on either side of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from psycopg import conninfo


class Side(Enum):
    BEFORE = "before the server has seen it"
    AFTER = "before its answer arrives"


class CuttingProxy:
    """
    Args:
        every: so many COMMITs, over all connections, one is cut, in turn on either side.
        cuts: those made.
    """

    def __init__(self, server: tuple[str, int], every: int) -> None:
        self.cuts: dict[Side, int] = dict.fromkeys(Side, 0)
        self._server = server
        self._every = every
        self._commits = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()
        for each in self._sockets:
            each.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                cutting = threading.Event()
                self._start(self._up, client, server, cutting)
                self._start(self._down, client, server, cutting)

    def _up(self, client: socket.socket, server: socket.socket, cutting: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                side = self._cut() if b"COMMIT\0" in data else None
                if side is Side.BEFORE:
                    break
                if side is Side.AFTER:
                    cutting.set()
                server.sendall(data)
        _end(client, server, cutting)

    def _down(self, client: socket.socket, server: socket.socket, cutting: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if cutting.is_set():
                    break  # the server has answered: it has committed
                client.sendall(data)
        cutting.clear()
        _end(client, server, cutting)

    def _cut(self) -> Side | None:
        with self._lock:
            self._commits += 1
            if self._commits % self._every:
                return None
            side = (Side.BEFORE, Side.AFTER)[self._commits // self._every % 2]
            self.cuts[side] += 1
            return side


def _end(client: socket.socket, server: socket.socket, cutting: threading.Event) -> None:
    """Both ways, so that the other thread and both peers notice; the server's answer is still waited for."""
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    if not cutting.is_set():
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(url: str, every: int) -> Iterator[tuple[str, CuttingProxy]]:
    """The URL of `url`'s database behind the proxy."""
    at = conninfo.conninfo_to_dict(url)
    proxy = CuttingProxy((str(at["host"]), int(str(at["port"]))), every)
    try:
        yield conninfo.make_conninfo(url, host="127.0.0.1", port=proxy.port, sslmode="disable"), proxy
    finally:
        proxy.close()
