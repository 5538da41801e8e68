"""From places in a text, as Python counts them, to lines and columns as the editor does."""

from __future__ import annotations

import re
from bisect import bisect_right

from lsprotocol import types
from pygls.workspace import PositionCodec

_LINE_END = re.compile(r"\r\n|\r|\n")  # the protocol's, and Python's


class Positions:
    """
    Args:
        codec: knows what the editor counts columns in.
    """

    def __init__(self, text: str, codec: PositionCodec) -> None:
        self._text = text
        self._codec = codec
        self._starts = [0, *(found.end() for found in _LINE_END.finditer(text))]

    def position(self, offset: int) -> types.Position:
        line = bisect_right(self._starts, offset) - 1
        return types.Position(line, self._codec.client_num_units(self._text[self._starts[line] : offset]))

    def range(self, start: int, end: int) -> types.Range:
        return types.Range(self.position(start), self.position(end))

    def line(self, number: int) -> str:
        """Without its end; counts from 0."""
        if number >= len(self._starts):
            return ""
        end = self._starts[number + 1] if number + 1 < len(self._starts) else len(self._text)
        return self._text[self._starts[number] : end].rstrip("\r\n")

    def column(self, position: types.Position) -> int:
        """The place in its line, in characters of Python."""
        line, units = self.line(position.line), 0
        for column, letter in enumerate(line):
            if units >= position.character:
                return column
            units += self._codec.client_num_units(letter)
        return len(line)
