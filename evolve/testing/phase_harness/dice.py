"""Chance for clients: a seeded random number generator that also makes words which nobody else has."""

from __future__ import annotations

import random


class Dice(random.Random):
    """
    Args:
        name: of who throws them; part of every word.
        seed: the same gives the same throws.
    """

    def __new__(cls, name: str, seed: int) -> Dice:  # the generator underneath takes a seed alone
        return super().__new__(cls)

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(seed)
        self.name = name
        self._words = 0

    def word(self) -> str:
        """One that no other dice of the run have made."""
        self._words += 1
        return f"{self.name} {self._words} {self.getrandbits(32):08x}"
