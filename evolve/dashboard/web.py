"""What the page answers to each request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evolve.app.pause_backfill import cancel_backfill, pause_backfill
from evolve.app.resume_apart import resume_apart
from evolve.app.steer_backfill import set_backfill
from evolve.backfill.record import NoSuchRun
from evolve.backfill.settings import EXPECTED, parse
from evolve.dashboard.guard import HEADERS, Guard
from evolve.dashboard.hub import Hub
from evolve.dashboard.pages import Pages, quoted
from evolve.dashboard.watcher import Trouble, Watcher
from evolve.errors import EvolveError, Misuse

LARGEST = 16_384  # bytes of a form
_FIELDS = 30
_SENT = 10.0  # seconds that a form may take to come
_BEAT = 15.0  # seconds after which a silent stream says something, so that nobody in between cuts it
_SEEN = 3.0  # seconds that an answer waits for what was done to show
_STATIC = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """
    Args:
        url: of the database.
        location: options of `evolve` that say where the project and its settings are.
        port: that is served; cookies of one machine know no ports, so it stands in the name of ours.
    """

    url: str
    watcher: Watcher
    pages: Pages
    guard: Guard
    hub: Hub
    location: tuple[str, ...]
    read_only: bool
    port: int

    def application(self) -> ASGIApp:
        routes = [
            Route("/", self._guarded(self._overview)),
            Route("/run", self._guarded(self._run)),
            Route("/live", self._guarded(self._live)),
            Route("/act", self._guarded(self._act), methods=["POST"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            *(Route(f"/static/{name}", _static(name, kind)) for name, kind in _STATIC.items()),
        ]
        self.watcher.on_look(self.hub.wake)
        application = Starlette(routes=routes)
        application.router.redirect_slashes = False  # it would repeat a token in another address
        return _Protected(application, self.guard)

    @property
    def _cookie(self) -> str:
        return f"evolve_dashboard_{self.port}"

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            token = request.query_params.get("token")
            if token is not None and request.method == "GET":
                return self._enter(token, request.headers)
            if not self.guard.admits(request.headers, request.cookies.get(self._cookie)):
                return HTMLResponse(self.pages.sign_in(wrong=False), 401)
            self.watcher.viewed()
            return await endpoint(request)

        return answer

    def _enter(self, token: str, headers: Mapping[str, str]) -> Response:
        """The token leaves the address, and the history of the browser keeps it no longer than this answer."""
        if not self.guard.knows(token):
            return HTMLResponse(self.pages.sign_in(wrong=True), 401)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # From a link on a page of others the cookie would not go along with a redirect; from our own page it does.
            answer: Response = HTMLResponse(self.pages.entered(), headers={"Refresh": "0; url=/"})
        else:
            answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self.guard.session, httponly=True, samesite="strict", path="/")
        return answer

    async def _sign_in(self, request: Request) -> Response:
        form = await _form(request)
        return self._enter(form.get("token", "").strip(), {})

    async def _overview(self, request: Request) -> Response:
        page = self.pages.overview(self.watcher.seen)
        return HTMLResponse(page.still if "still" in request.query_params else page.html)

    async def _run(self, request: Request) -> Response:
        name = request.query_params.get("name", "")
        page = self.pages.run(self.watcher.seen, name)
        if page is None:
            return self._trouble("No such backfill", self._no_such_run(name), 404)
        return HTMLResponse(page.still if "still" in request.query_params else page.html)

    async def _live(self, request: Request) -> Response:
        name = request.query_params.get("name")
        if name is not None and self.pages.run(self.watcher.seen, name) is None:
            return self._trouble("No such backfill", self._no_such_run(name), 404)
        kind, headers = "text/event-stream", {"X-Accel-Buffering": "no"}
        if request.method == "HEAD":  # of a stream there would be no end
            return Response(media_type=kind, headers=headers)
        return StreamingResponse(self._stream(name), media_type=kind, headers=headers)

    async def _stream(self, name: str | None) -> AsyncIterator[str]:
        """What has changed since the last look, as one event each."""
        sent: dict[str, str] = {}
        yield "retry: 2000\n\n"
        while True:
            calls = self.hub.calls  # before the look: what comes during it is not missed
            if self.hub.closed:
                return
            self.watcher.viewed()
            seen = self.watcher.seen
            page = self.pages.overview(seen) if name is None else self.pages.run(seen, name)
            if page is not None:
                fresh = {part: html for part, html in page.parts.items() if sent.get(part) != html}
                sent.update(fresh)
                if fresh:
                    yield f"data: {json.dumps({'parts': fresh, 'states': dict(page.states)})}\n\n"
            if not await self.hub.woken(calls, _BEAT):
                yield ": still here\n\n"

    async def _act(self, request: Request) -> Response:
        form = await _form(request)
        if not self.guard.may_act(request.headers, form.get("form", "")):
            return self._trouble(
                "Not from here",
                Trouble(
                    "this request did not come from a page of this dashboard",
                    fix="open the page anew, and press the button there",
                ),
                403,
            )
        if self.read_only:
            return self._trouble(
                "Read-only",
                Trouble("this dashboard only shows", fix="start it without --read-only, or use a terminal"),
                403,
            )
        name, action = request.query_params.get("name", ""), form.get("action", "")
        page = f"/run?name={quoted(name)}"
        began = datetime.now(UTC)
        if "\0" in name:  # no text of a database
            return self._trouble("No such backfill", self._no_such_run(name), 404)
        try:
            await run_in_threadpool(self._do, action, name, form)
        except NoSuchRun as error:
            return self._trouble("No such backfill", Trouble.of(error), 404)
        except EvolveError as error:
            status = 409 if error.exit_code == 1 else 400
            return self._trouble("Not done", Trouble.of(error), status, page)
        await self._shown(began)
        return RedirectResponse(page, 303)

    def _do(self, action: str, name: str, form: Mapping[str, str]) -> None:
        match action:
            case "pause":
                pause_backfill(self.url, name)
            case "cancel":
                cancel_backfill(self.url, name)
            case "resume":
                resume_apart(self.url, name, location=self.location, works=lambda: self._works(name))
            case "set":
                words = [f"{kind}={form[kind].strip()}" for kind in EXPECTED if form.get(kind, "").strip()]
                set_backfill(self.url, name, parse(words), reset=form.get("reset") == "yes")
            case _:
                raise Misuse(f'there is no action "{action}"', fix="pause, resume, cancel or set")

    def _works(self, name: str) -> bool:
        each = self.watcher.seen.run(name)
        return each is not None and each.view.record.held and each.view.record.want.value == "run"

    async def _shown(self, moment: datetime) -> None:
        """Wait a moment, so that the page that follows shows what was done."""
        while (datetime.now(UTC) - moment).total_seconds() < _SEEN:
            calls, at = self.hub.calls, self.watcher.seen.at
            if at is not None and at > moment:
                return
            await self.hub.woken(calls, _SEEN)

    def _no_such_run(self, name: str) -> Trouble:
        runs = self.watcher.seen.runs
        if runs is None:
            return Trouble("nothing has been read yet", fix="try again in a moment")
        return Trouble.of(NoSuchRun(name, tuple(each.view.record.name for each in runs)))

    def _trouble(self, title: str, trouble: Trouble, status: int, back: str | None = None) -> Response:
        return HTMLResponse(self.pages.trouble(title, trouble, back), status)


class _Protected:
    """Every answer with what protects it, also those that nobody here gives; requests for others have none."""

    def __init__(self, inner: ASGIApp, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        if scope["type"] == "http" and not self._guard.is_host(Headers(scope=scope)):
            refused = PlainTextResponse("this dashboard is served to this machine only\n", 421)
            await refused(scope, receive, send_protected)
            return
        await self._inner(scope, receive, send_protected)


def _static(name: str, kind: str) -> Endpoint:
    text = files("evolve.dashboard").joinpath("static", name).read_text(encoding="utf-8")

    async def answer(request: Request) -> Response:
        del request
        return Response(text, media_type=kind)

    return answer


async def _form(request: Request) -> dict[str, str]:
    """The fields of a post, each once; {} where they are too large, too many or too slow."""
    body = b""
    try:
        async with asyncio.timeout(_SENT):
            async for piece in request.stream():
                body += piece
                if len(body) > LARGEST:
                    return {}
    except (TimeoutError, ClientDisconnect):
        return {}
    try:
        fields = parse_qs(
            body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_FIELDS, errors="replace"
        )
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}
