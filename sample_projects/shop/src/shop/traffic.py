"""People using one release of the shop at a steady rate, and a report of how it served them.

Ends after --seconds; without it when standard input, if that is a pipe, is closed. SIGTERM and SIGINT end it
any time. The report is a JSON file, there from the moment that all clients are connected, and brought up to
date every second. When all have ended it reads once more what was written: `lost` counts the rows that say
something else.
Exit status: 0 all went well, 1 something failed or was lost, 2 the shop could not be opened.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

import evolve.client
from shop.database import create_engine
from shop.ledger import Ledger
from shop.people import People, Share
from shop.service import Shop
from shop.tally import Tally

# Serialization failure and deadlock: PostgreSQL asks for the transaction to be run again.
RETRIED = {"40001", "40P01"}


def main() -> int:
    options = _parse()
    stop = _stop_event(options.seconds)
    engine = create_engine(options.database_url, application_name="shop", pool_size=options.clients)
    shop = Shop(options.version, engine)
    # So that no column goes that this release maps while it runs.
    evolve.client.register(engine, version=options.version, models=shop.models.Base)
    ledger, tally = Ledger(), Tally()
    try:
        clients = [
            People(
                f"{options.version}-{options.share.number}-{number}",
                shop,
                share,
                ledger,
                random.Random(None if options.seed is None else options.seed * 1000 + number),
            )
            for number, share in enumerate(options.share.split(options.clients))
        ]
        _fill_pool(shop, options.clients)
    except SQLAlchemyError as error:
        print(f"error: the shop cannot be opened: {_in_one_line(error)}", file=sys.stderr)
        return 2

    report = Report(options.report, options.version, tally)
    every = options.clients / options.rate
    with ThreadPoolExecutor(options.clients) as pool:
        serving = [
            pool.submit(serve, people, tally, report.started + every * number / options.clients, every, stop)
            for number, people in enumerate(clients)
        ]
        _watch(serving, report, stop, options.seconds)
    lost = attempt(lambda: ledger.lost(shop), tally, "read back", time.monotonic())
    if options.ledger:
        ledger.save(options.ledger)
    return 0 if report.finish(checked=len(ledger), lost=lost) else 1


def serve(people: People, tally: Tally, first: float, every: float, stop: threading.Event) -> None:
    """Let one person in every `every` seconds; who comes while another is served waits, and that counts."""
    due = first
    while not stop.wait(max(0.0, due - time.monotonic())):
        kind, deed = people.next_deed()
        attempt(deed, tally, kind, due)
        due += every


def attempt(deed: Callable[[], Any], tally: Tally, kind: str, due: float) -> Any:
    """Do it, once more if PostgreSQL asks for that; None if it failed."""
    began = time.monotonic()
    result, error = None, None
    try:
        try:
            result = deed()
        except DBAPIError as first:
            if getattr(first.orig, "sqlstate", None) not in RETRIED:
                raise
            tally.retry()
            result = deed()
    except SQLAlchemyError as failure:
        error = _in_one_line(failure)
    ended = time.monotonic()
    tally.count(kind, took=ended - began, waited=ended - due, error=error)
    return result


class Report:
    def __init__(self, path: Path | None, version: str, tally: Tally) -> None:
        self.started = time.monotonic()
        self._path = path
        self._version = version
        self._tally = tally

    def write(self, **rest: Any) -> dict[str, Any]:
        """Put the report in its place in one piece: whoever reads it never sees half of one."""
        content = {
            "version": self._version,
            "finished": False,
            "seconds": round(time.monotonic() - self.started, 1),
            **self._tally.as_dict(),
            "checked": 0,
            "lost": None,
            "lost_rows": [],
            **rest,
        }
        if self._path is not None:
            new = self._path.with_name(self._path.name + ".new")
            new.write_text(json.dumps(content, indent=2) + "\n")
            new.replace(self._path)
        return content

    def finish(self, checked: int, lost: list[str] | None) -> bool:
        """Write it a last time, print it if it has no file, and say whether all went well."""
        content = self.write(
            finished=True,
            checked=checked,
            lost=None if lost is None else len(lost),
            lost_rows=(lost or [])[:10],
        )
        if self._path is None:
            print(json.dumps(content, indent=2))
        return content["failed"] == 0 and content["lost"] == 0


def _watch(serving: list[Future[None]], report: Report, stop: threading.Event, seconds: float | None) -> None:
    try:
        while True:
            report.write()
            rest = 1.0 if seconds is None else report.started + seconds - time.monotonic()
            if rest <= 0:
                stop.set()
            done, going = wait(serving, timeout=min(1.0, rest) if rest > 0 else 1.0)
            for client in done:
                client.result()
            if not going:
                return
    finally:
        stop.set()


def _fill_pool(shop: Shop, clients: int) -> None:
    """Open a connection for each client, so that nobody's first transaction waits for one."""
    sessions = [shop.sessions() for _ in range(clients)]
    for session in sessions:
        session.connection()
    for session in sessions:
        session.close()
    shop.profile(1)
    shop.recent_orders()


def _stop_event(seconds: float | None) -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if seconds is None and stat.S_ISFIFO(os.fstat(0).st_mode):

        def wait_for_end_of_input() -> None:
            while os.read(0, 4096):
                pass
            stop.set()

        threading.Thread(target=wait_for_end_of_input, daemon=True).start()
    return stop


def _in_one_line(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return " ".join(str(cause).split())


def _share(text: str) -> Share:
    number, _, of = text.partition("/")
    share = Share(int(number), int(of))
    if not 1 <= share.number <= share.of:
        raise ValueError(text)
    return share


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m shop.traffic",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", choices=["v1", "v2", "v3"], required=True, help="the release in use")
    parser.add_argument("--database-url", default=os.environ.get("SHOP_DATABASE_URL"))
    parser.add_argument("--clients", type=int, default=4, help="how many are served at a time (4)")
    parser.add_argument(
        "--rate", type=float, default=50.0, help="transactions per second of all clients (50)"
    )
    parser.add_argument("--seconds", type=float)
    parser.add_argument(
        "--report", type=Path, help="JSON file to write; without it standard output, at the end"
    )
    parser.add_argument("--ledger", type=Path, help="write here what was written, for python -m shop.check")
    parser.add_argument(
        "--share",
        type=_share,
        default=Share(),
        metavar="K/N",
        help="write only to the K-th of N shares of the users; one each for programs that run together (1/1)",
    )
    parser.add_argument("--seed", type=int, help="make the same choices each time")
    options = parser.parse_args()
    if not options.database_url:
        parser.error("give --database-url or set SHOP_DATABASE_URL")
    if options.clients < 1 or options.rate <= 0:
        parser.error("--clients must be at least 1 and --rate more than 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
