"""As much of GitHub's API for comments as the action asks for, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class GitHub:
    """One pull request, number 7 of acme/shop.

    Args:
        me: the user whose token it is; None where it is that of a workflow.
        failures: statuses that the next requests get instead of an answer, each with its headers.
        read_only: comments may not be written.
    """

    url: str = ""
    me: str | None = None
    comments: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    read_only: bool = False
    asked: list[str] = field(default_factory=list)

    def say(self, login: str, body: str) -> dict[str, Any]:
        comment = {"id": 100 + len(self.comments), "user": {"login": login}, "body": body}
        self.comments.append(comment)
        return comment

    def answer(self, method: str, address: str, sent: dict[str, Any]) -> tuple[int, object]:
        parts = urlsplit(address)
        login = self.me or "github-actions[bot]"
        match method, parts.path.strip("/").split("/"):
            case "GET", ["user"]:
                return (200, {"login": self.me}) if self.me else (403, {"message": "Resource not accessible"})
            case "GET", ["repos", "acme", "shop", "issues", "7", "comments"]:
                query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
                size, page = min(query.get("per_page", 30), 100), query.get("page", 1)
                return 200, self.comments[size * (page - 1) : size * page]
            case (("POST" | "PATCH"), _) if self.read_only:
                return 403, {"message": "Resource not accessible by integration"}
            case (("POST" | "PATCH"), _) if len(sent["body"]) > 65_536:
                return 422, {"message": "body is too long"}
            case "POST", ["repos", "acme", "shop", "issues", "7", "comments"]:
                return 201, self.say(login, sent["body"])
            case "PATCH", ["repos", "acme", "shop", "issues", "comments", number]:
                comment = next(each for each in self.comments if each["id"] == int(number))
                if comment["user"]["login"] != login:
                    return 403, {"message": "not yours"}
                comment["body"] = sent["body"]
                return 200, comment
        return 404, {"message": "Not Found"}


@contextmanager
def github() -> Iterator[GitHub]:
    """Answers until the block ends."""
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else {}
            state.asked.append(f"{self.command} {urlsplit(self.path).path}")
            headers: dict[str, str] = {}
            if self.headers["Authorization"] != "Bearer secret":
                status, said = 401, {"message": "Bad credentials"}
            elif state.failures:
                status, headers = state.failures.pop(0)
                said = {"message": "no"}
            else:
                status, said = state.answer(self.command, self.path, sent)
            body = json.dumps(said).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = answer  # the base class calls them so

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
