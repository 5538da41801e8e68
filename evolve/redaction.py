"""Makes text of others fit for people, logs and tables: no password in it, and no character that acts on a terminal."""

from __future__ import annotations

import re

_PLACES = (
    # Of a URL: up to the last @ of the word, since nobody may have encoded one in the password.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@'\"]*:)[^\s'\"]*(?=@)", re.IGNORECASE),
    # Of libpq's settings.
    re.compile(r"(\bpassword\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s,;)'\"]+)", re.IGNORECASE),
    # Of SQL that is put together: format('… PASSWORD %L', '…'), '… PASSWORD ' || quote_literal('…').
    re.compile(r"(\bpassword\s+)(?:%+(?:\d+\$)?[Ls]\b|'\s*\|\|).*", re.IGNORECASE | re.DOTALL),
    # Of SQL: ALTER ROLE … PASSWORD '…', OPTIONS (password '…').
    re.compile(
        r"(\bpassword\"?\s+)(?:(?:E|U&)?'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?\$\2\$)", re.IGNORECASE | re.DOTALL
    ),
)

# Control characters; what reorders text or breaks lines unseen; surrogates, which are bytes of a path that are no
# text; and what XML does not know.
_ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def shown(text: str) -> str:
    """What somebody raised, sent or is running, as others may see it."""
    return legible(without_passwords(text))


def legible(text: str) -> str:
    r"""`text` with what acts instead of standing there written as `\x1b` or `\u202e`; lines and tabs stay."""
    return _ACTS.sub(_written, text.replace("\r\n", "\n"))


def _written(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def without_passwords(text: str) -> str:
    for place in _PLACES:
        text = place.sub(r"\1***", text)
    return text
