"""Text that came from a project, made fit to be shown: no character in it acts on a terminal, a log or a page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from evolve.redaction import legible as legible

_LINE_END = re.compile(r"\s*[\r\n\u2028\u2029]\s*")


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
