"""An address that is asked: whether it answers with success, or what a query of Prometheus says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from evolve.backfill.sensor import Degree, Limits, Reading, Unit

TIMEOUT = 2.0  # seconds
_MOST = 1_000_000  # bytes of an answer


@dataclass(slots=True)
class Http:
    """A status below 400 goes on, another one holds, no answer is unknown."""

    name: str
    url: str
    unit: Unit = Unit.NUMBER

    def read(self) -> Reading:
        status, _ = _get(self.url)
        if status < 400:
            return Reading(None, "", Degree.FREE)
        return Reading(None, f"{self.name} answered {status}", Degree.HARD)


@dataclass(slots=True)
class Prometheus:
    """
    Args:
        url: of the server; `query` is asked as an instant one, of several series the worst counts.
    """

    name: str
    url: str
    query: str
    unit: Unit
    limits: Limits

    def read(self) -> Reading:
        address = f"{self.url.rstrip('/')}/api/v1/query?{urlencode({'query': self.query})}"
        status, body = _get(address)
        try:
            answer: object = json.loads(body)
        except ValueError:
            return Reading(None, f"Prometheus answered {status} with what is no JSON")
        try:
            values = list(_values(answer))
        except (KeyError, TypeError, ValueError, IndexError):
            return Reading(None, f"Prometheus answered {_shown(answer)}")
        if not values:
            return Reading(None, "the query found no series")
        if not all(map(math.isfinite, values)):
            return Reading(None, "the query answered what is no number")
        return Reading(min(values) if self.limits.low else max(values))


def _values(answer: object) -> Iterator[float]:
    """Of an instant vector or a scalar; raises where it is neither."""
    match answer:
        case {"status": "success", "data": {"resultType": "scalar", "result": [_, value]}}:
            yield float(str(value))
        case {"status": "success", "data": {"resultType": "vector", "result": list(series)}}:
            for each in series:
                yield float(str(each["value"][1]))
        case _:
            raise ValueError(answer)


def _shown(answer: object) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return f"an error: {str(error)[:120]}" if error else "something else than a vector or a scalar"


def _get(url: str) -> tuple[int, bytes]:
    """
    Raises:
        OSError: nobody answered, or not in time.
    """
    request = Request(url, headers={"User-Agent": "evolve"})  # noqa: S310  # http and https only: see `check_url`
    try:
        with urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
            return response.status, response.read(_MOST)
    except HTTPError as error:
        with error:
            return error.code, error.read(_MOST)
    except URLError as error:
        raise ConnectionError(f"{urlsplit(url).hostname}: {error.reason}") from None
    except HTTPException as error:
        raise ConnectionError(f"{urlsplit(url).hostname}: {type(error).__name__}") from None
