"""Takes passwords out of text that people, logs or tables will see: what others raised, sent or are running."""

from __future__ import annotations

import re

_PLACES = (
    # Of a URL: up to the last @ of the word, since nobody may have encoded one in the password.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@'\"]*:)[^\s'\"]*(?=@)", re.IGNORECASE),
    # Of libpq's settings.
    re.compile(r"(\bpassword\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s,;)'\"]+)", re.IGNORECASE),
    # Of SQL: ALTER ROLE … PASSWORD '…', OPTIONS (password '…').
    re.compile(r"(\bpassword\s+)(?:E?'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?\$\2\$)", re.IGNORECASE | re.DOTALL),
)


def without_passwords(text: str) -> str:
    for place in _PLACES:
        text = place.sub(r"\1***", text)
    return text
