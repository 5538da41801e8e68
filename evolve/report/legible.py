"""Text that came from a project, made fit to be shown: no character in it acts on a terminal, a log or a page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# Control characters; what reorders text or breaks lines unseen; surrogates, which are bytes of a path that are no
# text; and what XML does not know.
_ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LINE_END = re.compile(r"\s*[\r\n\u2028\u2029]\s*")


def legible(text: str) -> str:
    r"""`text` with what acts instead of standing there written as `\x1b` or `\u202e`; lines and tabs stay."""
    return _ACTS.sub(_written, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same in one line."""
    return legible(_LINE_END.sub(" ", text)).replace("\t", " ").strip()


def to_json(document: object) -> str:
    """`document`, made of what JSON knows, with every text in it as `legible` writes it."""
    return json.dumps(_all_legible(document), indent=2, ensure_ascii=False)


def _all_legible(value: object) -> object:
    match value:
        case str():
            return legible(value)
        case Mapping():
            return {key: _all_legible(each) for key, each in value.items()}
        case list() | tuple():
            return [_all_legible(each) for each in value]
        case _:
            return value


def _written(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
