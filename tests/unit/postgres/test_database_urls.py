"""Database URLs: every spelling that people use reaches the server, and no part of a password reaches the terminal."""

from __future__ import annotations

import pytest
from psycopg import conninfo

from evolve.postgres.connect import BadUrl, CannotConnect, connect, libpq_url, redact

WORD = "hunter2"


@pytest.mark.parametrize("character", [*"#/?:%[]&=+! ", "%zz", "é"])
def test_a_password_need_not_be_encoded(character: str) -> None:
    password = f"{WORD}{character}x"

    read = conninfo.conninfo_to_dict(libpq_url(f"postgresql+psycopg://me:{password}@db:5432/shop"))

    assert (read["user"], read["password"], read["host"], read["dbname"]) == ("me", password, "db", "shop")


def test_an_encoded_password_is_decoded_once() -> None:
    read = conninfo.conninfo_to_dict(libpq_url("postgresql://me:a%40b%2541@db/shop"))

    assert read["password"].split("@") == ["a", "b%41"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgresql://db:5432/shop?user=me@corp", "db"),
        ("postgresql://me@corp:hunter2@db/shop", "db"),
        ("postgresql://me:hunter2@/shop?host=/run/postgresql", "/run/postgresql"),
        ("postgresql://me:hunter2@[::1]:5432/shop", "::1"),
        ("postgresql://one:1,two:2/shop", "one,two"),
        ("host=db password='a://b'", "db"),
    ],
)
def test_host_is_found(url: str, host: str) -> None:
    assert conninfo.conninfo_to_dict(libpq_url(url))["host"] == host


UNREADABLE = [
    "postgresql://me:{}@x@127.0.0.1:1/shop",
    "postgresql://me:x@{}:{}/x@127.0.0.1:1/shop",
    "postgresql://127.0.0.1:1/shop?password={}%zz",
    "password=x {} host=127.0.0.1",
    "password='{} host=127.0.0.1",
    "postgresql:/me:{}@127.0.0.1/shop",
    "me:{}@127.0.0.1/shop",
    "me:{}=@127.0.0.1/shop",
    "mysql://me:{}@127.0.0.1/shop",
    "jdbc:postgresql://127.0.0.1/shop?user=me&password={}",
]


@pytest.mark.parametrize("url", UNREADABLE)
def test_unreadable_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadUrl) as refused:
        connect(url.replace("{}", WORD))

    assert WORD not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2#hunter2@127.0.0.1:1/shop",
        "postgresql://me:hunter2/hunter2@127.0.0.1:1/shop",
        "postgresql://me:1/hunter2@127.0.0.1:1/shop",
        "postgresql://me:hunter2?hunter2@127.0.0.1:1/shop",
        "postgresql://127.0.0.1:1/shop?user=me&password=hunter2@hunter2&sslpassword=hunter2",
        r"host=127.0.0.1 port=1 password='x\' hunter2'",
        r"host=127.0.0.1 port=1 user=me@corp password=x\ hunter2@hunter2",
    ],
)
def test_server_that_is_down_is_told_without_the_password(url: str) -> None:
    with pytest.raises(CannotConnect) as refused:
        connect(url)

    assert WORD not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+asyncpg://me:hunter2@db:5432/shop", "postgresql+asyncpg://me@db:5432/shop"),
        ("postgresql://db/shop?sslmode=require", "postgresql://db/shop?sslmode=require"),
        (
            "postgresql://me:hunter2@db/shop\n\nerror: all is lost",
            "postgresql://me@db/shop error: all is lost",
        ),
        ("", "the server of the PG* variables"),
    ],
)
def test_what_is_shown(url: str, shown: str) -> None:
    assert redact(url) == shown
