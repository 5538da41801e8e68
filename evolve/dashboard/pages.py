"""The pages as HTML, and the parts of them that are sent anew while somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from threading import Lock
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evolve.backfill.record import RunRecord, person
from evolve.backfill.settings import EXPECTED
from evolve.backfill.status import ENDED, State
from evolve.counted import counted
from evolve.dashboard.plot import HEIGHT, WIDTH, plot
from evolve.dashboard.watcher import Seen, Trouble
from evolve.durations import duration, percent, span
from evolve.plan.wording import describe_gate
from evolve.redaction import shown

SOON = 7.0  # days of partitions left that are too few
FEW = 4  # names of partitions that are listed


@dataclass(frozen=True, slots=True)
class Page:
    """One look at a page.

    Args:
        parts: what stands in the elements of these ids.
        still: the same, but for those without scripts it does not load itself anew.
        states: of the runs on it and of the database, by name: a change of one is read out.
    """

    title: str
    html: str
    still: str
    parts: Mapping[str, str]
    states: Mapping[str, str]


class Pages:
    """For any thread. A page is put together once for each look at the database, however many look at it.

    Args:
        form: what each form holds to be believed.
        place: the database, without a password.
    """

    def __init__(self, *, place: str, form: str, read_only: bool) -> None:
        self._constant: dict[str, object] = {"place": place, "form": form, "read_only": read_only}
        self._lock = Lock()
        self._made: dict[str | None, tuple[int, Page | None]] = {}

    def overview(self, seen: Seen) -> Page:
        page = self._cached(seen, None)
        assert page is not None  # noqa: S101  # there is one for each look
        return page

    def run(self, seen: Seen, name: str) -> Page | None:
        """None where no run of that name is among those seen."""
        return self._cached(seen, name)

    def sign_in(self, *, wrong: bool) -> str:
        # What database it is, is told to nobody before.
        return self._rendered("sign_in.html", title="Sign in", wrong=wrong, live=None, known=False)

    def entered(self) -> str:
        return self._rendered("entered.html", title="Signed in", live=None)

    def trouble(self, title: str, trouble: Trouble, back: str | None = None) -> str:
        return self._rendered("trouble.html", title=title, trouble=trouble, back=back, live=None)

    def _cached(self, seen: Seen, name: str | None) -> Page | None:
        with self._lock:
            version, page = self._made.get(name, (-1, None))
            if version != seen.version:
                page = self._overview(seen) if name is None else self._run(seen, name)
                # Of runs that nobody looks at any more nothing is kept.
                recent = {key: made for key, made in self._made.items() if made[0] >= seen.version - 5}
                self._made = {**recent, name: (seen.version, page)}
            return page

    def _overview(self, seen: Seen) -> Page:
        parts = ("look", "changes", "runs", "partitions")
        states = {each.view.record.name: state_of(each.view.record) for each in seen.runs or ()}
        return self._page("overview.html", parts, "Overview", ("/", "/live"), seen, states, seen=seen)

    def _run(self, seen: Seen, name: str) -> Page | None:
        each = seen.run(name)
        if each is None:
            return None
        record = each.view.record
        return self._page(
            "run.html",
            ("look", "run", "controls", "events"),
            name,
            (f"/run?name={quoted(name)}", f"/live?name={quoted(name)}"),
            seen,
            {name: state_of(record)},
            seen=seen,
            each=each,
            actions=actions(record),
            settings=EXPECTED,
        )

    def _page(
        self,
        template: str,
        parts: tuple[str, ...],
        title: str,
        places: tuple[str, str],
        of: Seen,
        states: Mapping[str, str],
        **values: object,
    ) -> Page:
        here, live = places
        rendered = {part: self._rendered(f"part_{part}.html", **values) for part in parts}
        made = {part: Markup(text) for part, text in rendered.items()}  # noqa: S704  # escaped in its template
        html, still = (
            self._rendered(template, title=title, here=here, live=live, parts=made, still=still, **values)
            for still in (False, True)
        )
        database = of.runs_trouble.what if of.runs_trouble else "it answers"
        told = {each: shown(state) for each, state in {**states, "The database": database}.items()}
        return Page(title, html, still, rendered, told)

    def _rendered(self, template: str, **values: object) -> str:
        return _environment().get_template(template).render({"known": True, **self._constant, **values})


def quoted(name: str) -> str:
    """For an address."""
    return quote(name, safe="")


def actions(record: RunRecord) -> tuple[str, ...]:
    """What may be asked of a run now: pause, resume, cancel, set."""
    if record.state in ENDED and not record.held:
        return ()
    found = []
    if record.held and record.want.value == "run":
        found.append("pause")
    rests = not record.held or record.want.value != "run"
    if rests and not record.waits_for_approval and record.state is not State.UNDOING:
        found.append("resume")
    if record.state is not State.UNDOING and record.want.value != "cancel":
        found.append("cancel")
    return (*found, "set")


def state_of(record: RunRecord) -> str:
    """In a sentence: what is read out when it has changed."""
    return f"{record.shown}, {record.hold}" if record.hold else record.shown


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evolve.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_fit,
    )
    environment.filters |= {
        "percent": percent,
        "duration": duration,
        "moment": _moment,
        "plot": plot,
        "counted": counted,
        "number": lambda value: f"{value:,.0f}",
        "span": span,
        "gate": describe_gate,
        "person": person,
        "trouble": Trouble.of,
        "quoted": quoted,
    }
    environment.globals |= {"WIDTH": WIDTH, "HEIGHT": HEIGHT, "SOON": SOON, "FEW": FEW, "state_of": state_of}
    return environment


def _fit(value: object) -> object:
    """What others wrote, without passwords and without what acts on a reader."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moment(at: datetime) -> Markup:
    text = f"{at:%Y-%m-%d %H:%M:%S %Z}".strip()
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="seconds"), text)
