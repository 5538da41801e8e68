"""Whom the dashboard lets in, and whose posts it believes."""

from __future__ import annotations

import pytest

from evolve.dashboard.guard import Guard

GUARD = Guard(token="t" * 40, session="s" * 40, form="f" * 40)
HOST = {"host": "127.0.0.1:8765"}


def test_two_starts_share_no_secret() -> None:
    one, other = Guard(), Guard()
    secrets = {one.token, one.session, one.form, other.token, other.session, other.form}
    assert len(secrets) == 6
    assert min(map(len, secrets)) >= 40


def test_secrets_are_in_no_repr() -> None:
    assert "t" * 40 not in repr(GUARD)


@pytest.mark.parametrize("cookie", [None, "", "s" * 39, "t" * 40, "ß" * 40])
def test_another_cookie_does_not_let_in(cookie: str | None) -> None:
    assert not GUARD.admits({}, cookie)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic " + "t" * 40, "t" * 40])
def test_another_header_does_not_let_in(header: str) -> None:
    assert not GUARD.admits({"authorization": header}, None)


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1", "127.8.9.1:80", "[::1]:8765"])
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert GUARD.is_host({"host": host})


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "10.0.0.1"]
)
def test_other_names_are_not(host: str) -> None:
    assert not GUARD.is_host({"host": host})


def test_a_public_address_is_asked_by_any_name() -> None:
    assert Guard(local=False).is_host({"host": "db-admin.example.org:8765"})


@pytest.mark.parametrize(
    ("headers", "form", "believed"),
    [
        ({"origin": "http://127.0.0.1:8765"}, "f" * 40, True),
        ({"sec-fetch-site": "same-origin"}, "f" * 40, True),
        ({"authorization": "bearer " + "t" * 40}, "", True),
        ({}, "f" * 40, False),
        ({"origin": "http://127.0.0.1:8766"}, "f" * 40, False),
        ({"origin": "null"}, "f" * 40, False),
        ({"origin": "null", "host": ""}, "f" * 40, False),
        ({"origin": "http://["}, "f" * 40, False),
        ({"origin": "http://127.0.0.1:8765", "sec-fetch-site": "cross-site"}, "f" * 40, False),
        ({"origin": "http://evil.example", "authorization": "Bearer " + "t" * 40}, "", False),
        ({"sec-fetch-site": "same-site"}, "f" * 40, False),
        ({"origin": "http://127.0.0.1:8765"}, "s" * 40, False),
    ],
)
def test_posts(headers: dict[str, str], form: str, believed: bool) -> None:
    assert GUARD.may_act({**HOST, **headers}, form) is believed
