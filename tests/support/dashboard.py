"""A browser without scripts: it keeps one cookie, follows nothing by itself, and tells what it got."""

from __future__ import annotations

import html
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from evolve.config import Config
from evolve.dashboard.start import Address, Wish, running
from evolve.revisions.project import NoProject, Project

PATIENCE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def plain(self) -> str:
        """What is read, in one line."""
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.text)).split())


@dataclass
class Browser:
    """
    Args:
        cookie: as it is sent; "" before a visit with the token.
    """

    address: Address
    cookie: str = ""
    connections: list[http.client.HTTPConnection] = field(default_factory=list)

    @property
    def host(self) -> str:
        return urlsplit(self.address.page).netloc

    def ask(
        self, path: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """GET, or POST where there are `fields`; a header of None is left out."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        try:
            sent = {"Cookie": self.cookie} if self.cookie else {}
            body = None
            if fields is not None:
                body = urlencode(fields)
                sent |= {"Origin": f"http://{self.host}", "Content-Type": "application/x-www-form-urlencoded"}
            sent |= headers or {}
            sent = {name: value for name, value in sent.items() if value}
            connection.request("GET" if fields is None else "POST", path, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read().decode())
        finally:
            connection.close()

    def enter(self) -> None:
        answer = self.ask(f"/?token={self.address.token}")
        assert answer.status == 303, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]

    def run(self, name: str) -> Answer:
        return self.ask(f"/run?name={quote(name, safe='')}")

    def press(self, name: str, action: str, **more: str) -> Answer:
        """A button on the page of a run, with the form token that stands there."""
        form = re.search(
            r'action="([^"]+)"><input type="hidden" name="form" value="([^"]+)"', self.run(name).text
        )
        assert form is not None, "the page has no form"
        return self.ask(html.unescape(form[1]), {"form": form[2], "action": action, **more})

    def until(self, look: Callable[[], Answer], fits: Callable[[Answer], bool]) -> Answer:
        """Look again and again."""
        end = time.monotonic() + PATIENCE
        while not fits(answer := look()):
            assert time.monotonic() < end, answer.plain
            time.sleep(0.1)
        return answer

    def listen(self, path: str = "/live") -> Iterator[dict[str, dict[str, str]]]:
        """The events of the server; closed with the browser."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        self.connections.append(connection)
        connection.request("GET", path, headers={"Cookie": self.cookie})
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        return self._events(answer)

    @staticmethod
    def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, dict[str, str]]]:
        with answer:
            while line := answer.readline():
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


def no_project() -> Project:
    raise NoProject((Path(),))


@contextmanager
def browsing(
    url: str,
    config: Config | None = None,
    project: Callable[[], Project] = no_project,
    *,
    read_only: bool = False,
    enter: bool = True,
) -> Iterator[Browser]:
    """A dashboard of that database on a free port, and somebody who has followed its link."""
    wish = Wish(url, config or Config(), project, (), "127.0.0.1", 0, False, read_only)
    with running(wish) as address:
        browser = Browser(address)
        try:
            if enter:
                browser.enter()
            yield browser
        finally:
            browser.close()
