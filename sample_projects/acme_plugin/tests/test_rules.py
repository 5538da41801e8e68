"""The examples of the rules' pages are found, or not found, as the pages say."""

from __future__ import annotations

from acme_evolve import plugin
from evolve.testing.rule_pages import RulePages


class TestPages(RulePages):
    rules = tuple(rule() for rule in plugin.rules)
