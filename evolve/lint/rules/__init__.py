"""All rules that come with evolve, in the order of their ids: a new one is its file, its page and a line in the
package of its subject.

Families: 1xx blocks traffic · 2xx breaks running code · 3xx breaks new code on the old schema · 4xx loses
data · 5xx partitions · 6xx fails, or works otherwise than Alembic makes it look · 7xx guidelines, opt-in ·
8xx costs without use · 9xx could not be analysed, or is allowed in a way that does not work.
"""

from __future__ import annotations

from itertools import chain

from evolve.lint.rule import Rule
from evolve.lint.rules import (
    alembic,
    allow,
    columns,
    compat,
    constraints,
    guidelines,
    indexes,
    partitions,
    reading,
    security,
    tables,
    transactions,
    types,
    views,
)

_SUBJECTS = (
    alembic,
    allow,
    columns,
    compat,
    constraints,
    guidelines,
    indexes,
    partitions,
    reading,
    security,
    tables,
    transactions,
    types,
    views,
)

ALL: tuple[Rule, ...] = tuple(
    sorted(chain.from_iterable(subject.RULES for subject in _SUBJECTS), key=lambda rule: rule.id)
)

DEFAULT: tuple[Rule, ...] = tuple(rule for rule in ALL if not rule.opt_in)
