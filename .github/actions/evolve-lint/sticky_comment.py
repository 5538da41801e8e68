"""Keeps one comment on a pull request: makes it where there is something to say, and replaces it from then on.

Reads from the environment TOKEN, BODY (the path of the Markdown), NEWS ("false" where only a comment that is there is
to be replaced), KEY (tells the comments of several projects of one
repository apart), and what GitHub sets. Never fails the run: what could not be said is a warning in the log.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 65_536  # characters that GitHub takes
TRIES = 4
PAGE = 100
ACTIONS = "github-actions[bot]"


class Refused(Exception):
    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status} {said}")
        self.status = status


class Comments:
    """The comments of one pull request, which are those of an issue."""

    def __init__(self, api: str, repository: str, number: int, token: str, wait: float = 1.0) -> None:
        self._api = api
        self._of = f"{api}/repos/{repository}/issues"
        self._number = number
        self._token = token
        self._wait = wait

    def own(self, marker: str) -> dict[str, Any] | None:
        """Ours that begins with `marker`; anybody can write a comment that looks like it."""
        me = self._me()
        for comment in self._all():
            if comment["user"]["login"] == me and str(comment["body"]).startswith(marker):
                return comment
        return None

    def create(self, body: str) -> None:
        self._ask("POST", f"{self._of}/{self._number}/comments", {"body": body})

    def replace(self, comment: int, body: str) -> None:
        self._ask("PATCH", f"{self._of}/comments/{comment}", {"body": body})

    def _me(self) -> str:
        try:
            return str(self._ask("GET", f"{self._api}/user")["login"])
        except Refused:  # the token of a workflow is no user's
            return ACTIONS

    def _all(self) -> Iterator[dict[str, Any]]:
        number = 0
        while True:
            number += 1
            page = self._ask("GET", f"{self._of}/{self._number}/comments?per_page={PAGE}&page={number}")
            yield from page
            if len(page) < PAGE:
                return

    def _ask(self, method: str, address: str, data: object = None) -> Any:
        """
        Raises:
            Refused: GitHub said no, or something that a few tries did not change.
        """
        for attempt in range(1, TRIES + 1):
            request = urllib.request.Request(  # noqa: S310  # the address is the runner's own
                address,
                method=method,
                data=None if data is None else json.dumps(data).encode(),
                headers={
                    "Authorization": f"Bearer {self._token}",
                    "Accept": "application/vnd.github+json",
                    "Content-Type": "application/json",
                    "User-Agent": "evolve-lint",
                },
            )
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  # see above
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                later = error.code >= 500 or error.code == 429 or "Retry-After" in error.headers
                if attempt == TRIES or not later:
                    raise Refused(error.code, error.reason) from error
            except OSError as error:
                if attempt == TRIES:
                    raise Refused(0, str(error)) from error
            time.sleep(self._wait * 2**attempt)
        raise AssertionError


def main() -> int:
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    number = (event.get("pull_request") or {}).get("number")
    if number is None:
        return 0
    comments = Comments(
        os.environ["GITHUB_API_URL"],
        os.environ["GITHUB_REPOSITORY"],
        number,
        os.environ["TOKEN"],
        float(os.environ.get("WAIT", "1")),
    )
    marker = f"<!-- evolve-lint: {os.environ.get('KEY') or '.'} -->"
    body = f"{marker}\n{Path(os.environ['BODY']).read_text(encoding='utf-8')}"
    try:
        said = comments.own(marker)
        if said is None and os.environ.get("NEWS") != "false":
            comments.create(body[:MOST])
        elif said is not None and said["body"].rstrip() != body[:MOST].rstrip():
            comments.replace(said["id"], body[:MOST])
    except Refused as refused:
        hint = " A pull request of a fork may not write comments." if refused.status in (403, 404) else ""
        print(f"::warning title=evolve lint::no comment could be left on the pull request: {refused}.{hint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
