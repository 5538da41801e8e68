"""Short names for contents: equal for equal parts, and for no others."""

from __future__ import annotations

from hashlib import blake2b

DIGEST_BYTES = 20


def digest(*parts: bytes | str) -> bytes:
    """The name of these parts in this order; where one ends and the next begins counts."""
    found = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.digest()
