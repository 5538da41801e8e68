"""The metrics as a page that Prometheus reads, on a port of this process; needs the extra `metrics`."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from evolve.errors import Misuse
from evolve.observe.metrics import METRICS, Kind, Metric

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LOOPBACK = "127.0.0.1"
_PATIENCE = 10.0  # seconds that a client may take for its request
_NOTICED = 0.1  # seconds until the server notices that it is to end


class NoPrometheus(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "--metrics-port needs the package prometheus-client, which is not installed",
            fix="pip install 'alembic-evolve[metrics]'",
        )


class PublicAddress(Misuse):
    def __init__(self, address: str) -> None:
        super().__init__(
            f"--metrics-address {address} can be reached from other machines",
            why="whoever reaches it reads names of tables and backfills, and how fast they go; there is no password",
            fix="leave it at 127.0.0.1 and let an agent on this machine read it, or say --i-know",
        )


class CannotServe(Misuse):
    def __init__(self, address: str, port: int, error: OSError) -> None:
        shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        super().__init__(
            f"metrics cannot be served on {shown}: {_REASONS.get(error.errno or 0, error.strerror or str(error))}",
            fix="give another --metrics-port, or 0 for any that is free"
            if error.errno in (errno.EADDRINUSE, errno.EACCES)
            else "give an address of this machine: --metrics-address 127.0.0.1",
        )


_REASONS = {
    errno.EADDRINUSE: "the port is in use",
    errno.EACCES: "this user may not use the port",
    errno.EADDRNOTAVAIL: "it is no address of this machine",
}


class Page:
    """`recorder.Instruments` whose values are the text that Prometheus reads."""

    def __init__(self) -> None:
        import prometheus_client as client

        client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry: CollectorRegistry = client.CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in METRICS:
            name, meaning, labels = metric.full_name, metric.meaning, metric.all_labels
            match metric.kind:
                case Kind.COUNTER:
                    self._counters[metric.name] = client.Counter(
                        name, meaning, labels, registry=self.registry
                    )
                case Kind.GAUGE:
                    self._gauges[metric.name] = client.Gauge(name, meaning, labels, registry=self.registry)
                case Kind.HISTOGRAM:
                    self._histograms[metric.name] = client.Histogram(
                        name, meaning, labels, registry=self.registry, buckets=metric.buckets
                    )

    def add(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        if metric.kind is Kind.HISTOGRAM:
            self._histograms[metric.name].labels(*labels).observe(value)
        else:
            self._counters[metric.name].labels(*labels).inc(value)

    def put(self, metric: Metric, value: float | None, labels: tuple[str, ...]) -> None:
        gauge = self._gauges[metric.name]
        if value is not None:
            gauge.labels(*labels).set(value)
        else:
            with suppress(KeyError):
                gauge.remove(*labels)


@contextmanager
def served(port: int, address: str, *, i_know: bool) -> Iterator[tuple[Page, str]]:
    """The page, and the URL at which it is served until the block ends.

    Args:
        port: 0 takes any that is free.
        i_know: others may reach it.

    Raises:
        NoPrometheus, PublicAddress, CannotServe
    """
    if find_spec("prometheus_client") is None:
        raise NoPrometheus
    try:
        family, place = _resolved(address, port)
        if not i_know and not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
            raise PublicAddress(address)
        page = Page()
        server = _server(page, family, place)
    except OSError as error:
        raise CannotServe(address, port, error) from error
    thread = Thread(target=server.serve_forever, args=(_NOTICED,), name="metrics", daemon=True)
    thread.start()
    try:
        host = f"[{address}]" if ":" in address else address
        yield page, f"http://{host}:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _resolved(address: str, port: int) -> tuple[int, tuple[object, ...]]:
    """Family and place of what a socket is bound to; an empty address is every one of this machine."""
    found = socket.getaddrinfo(address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, place = found[0]
    return family, place


def _server(page: Page, family: int, place: tuple[object, ...]) -> WSGIServer:
    from prometheus_client import make_wsgi_app

    class Handler(WSGIRequestHandler):
        timeout = _PATIENCE

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's own name
            """A page that is read every few seconds is no news."""

    class Server(ThreadingMixIn, WSGIServer):
        address_family = family
        allow_reuse_port = False  # or two processes would share a port, and be read by turns
        daemon_threads = True

    server = Server((str(place[0]), int(str(place[1]))), Handler)
    server.set_app(make_wsgi_app(page.registry))
    return server
