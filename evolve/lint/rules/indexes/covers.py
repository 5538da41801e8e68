"""When one index does all that another does."""

from __future__ import annotations

from evolve.sql import operations as op


def covers(wide: op.IndexDefinition, narrow: op.IndexDefinition) -> bool:
    """True where every use of `narrow` is one of `wide`: the same keys, or more behind them.

    A unique index also keeps duplicates out, which only a unique one over the same keys does as well. Only
    B-trees are ordered, so only there does a left prefix help.
    """
    if narrow.method != wide.method or narrow.where != wide.where or not narrow.keys:
        return False
    if not set(narrow.include) <= {*wide.include, *wide.columns}:
        return False
    same = narrow.keys == wide.keys
    if narrow.unique:
        return same and wide.unique and narrow.nulls_not_distinct == wide.nulls_not_distinct
    return same or (narrow.method == "btree" and wide.keys[: len(narrow.keys)] == narrow.keys)
