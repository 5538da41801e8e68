"""Finds rules by what a person types: an id or a name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

from evolve.errors import Misuse
from evolve.lint.rule import Rule

_FAMILY = re.compile(r"[1-9]xx")


class UnknownRule(Misuse):
    """`place` says where the word stands, such as "lint.ignore"; empty for the command line."""

    def __init__(self, word: str, nearest: str | None, place: str = "") -> None:
        super().__init__(
            f'{place}: there is no rule "{word}"' if place else f'there is no rule "{word}"',
            fix=f'did you mean "{nearest}"?' if nearest else "`evolve explain` lists all rules",
        )


def by_word(rules: Collection[Rule]) -> dict[str, Rule]:
    """Every word that names a rule."""
    return {word: rule for rule in rules for word in (rule.id, rule.name)}


def find(word: str, rules: Collection[Rule], place: str = "") -> Rule:
    """The rule that `word` names; ids are found in small letters too.

    Raises:
        UnknownRule: none is; it names the nearest.
    """
    words = by_word(rules)
    found = words.get(word) or words.get(word.upper()) or words.get(word.lower())
    if found is None:
        raise UnknownRule(word, nearest(word, words), place)
    return found


def asked(rules: Collection[Rule], enable: Collection[str], place: str = "lint.enable") -> tuple[Rule, ...]:
    """Those that are on by default, and the ones that `enable` adds by id, by name, by family ("7xx") or as "all".

    Raises:
        UnknownRule: a word of `enable` means nothing.
    """
    added = {rule_id for word in enable for rule_id in meant(word, rules, place)}
    return tuple(rule for rule in rules if not rule.opt_in or rule.id in added)


def meant(word: str, rules: Collection[Rule], place: str = "") -> frozenset[str]:
    """Ids of the rules that `word` means: an id, a name, a family such as "7xx", or "all".

    Raises:
        UnknownRule: it means none.
    """
    if word == "all":
        return frozenset(rule.id for rule in rules)
    if _FAMILY.fullmatch(word):
        return frozenset(rule.id for rule in rules if rule.id.startswith(f"EV{word[0]}"))
    return frozenset({find(word, rules, place).id})


def means_several(word: str) -> bool:
    """Whether it is a family or "all"."""
    return word == "all" or _FAMILY.fullmatch(word) is not None


def nearest(word: str, words: Mapping[str, Rule]) -> str | None:
    """What was most likely meant; a name rather than an id."""
    near = get_close_matches(word.lower(), [w for w in words if w.islower()], n=1, cutoff=0.6)
    near = near or get_close_matches(word.upper(), words, n=1, cutoff=0.7)
    return near[0] if near else None
