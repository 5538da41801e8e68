"""Names in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 5


def listed(names: Sequence[str]) -> str:
    """Such as `"a", "b" and "c"`; of a long list the first few and how many more there are."""
    shown = [f'"{name}"' for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        shown.append(f"{len(names) - _SHOWN} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
