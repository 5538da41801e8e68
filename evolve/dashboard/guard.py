"""Who may look and who may act: the token, the cookie it is changed for, and what a browser is made to refuse."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

HEADERS = {
    # Nothing from elsewhere, no script or style in the page itself, in nobody's frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # not less: with no-referrer, forms come from the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Guard:
    """The secrets of one process.

    Args:
        token: who knows it may look and act; it stands in the URL once.
        session: what the cookie holds, so that the token is in no browser's store.
        form: in each form, and unknown to pages of others.
        local: served on this machine only: asked by another name than the machine's own, somebody else's page asks.
    """

    token: str = field(default_factory=_secret, repr=False)
    session: str = field(default_factory=_secret, repr=False)
    form: str = field(default_factory=_secret, repr=False)
    local: bool = True

    def knows(self, token: str) -> bool:
        return _same(token, self.token)

    def admits(self, headers: Mapping[str, str], cookie: str | None) -> bool:
        return self.by_header(headers) or (cookie is not None and _same(cookie, self.session))

    def by_header(self, headers: Mapping[str, str]) -> bool:
        """A program that gives the token with each request; no page can have a browser do so."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.knows(token.strip())

    def is_host(self, headers: Mapping[str, str]) -> bool:
        """Whether a request was meant for us: a name that somebody points at this machine is none of ours."""
        if not self.local:
            return True
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            return False
        if name == "localhost":
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False

    def may_act(self, headers: Mapping[str, str], form: str) -> bool:
        """Whether a post comes from our own page, or from a program."""
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != (headers.get("host") or None):
            return False
        if self.by_header(headers):
            return True
        site = headers.get("sec-fetch-site", "same-origin" if origin is not None else None)
        return site == "same-origin" and _same(form, self.form)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
