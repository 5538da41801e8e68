"""The dashboard in a real browser: it follows a run by itself, and serves keyboards, phones, dark rooms and readers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.backfill import Quiet, fill, numbers, spec
from support.chromium import PROGRAM, Tab, chromium
from support.dashboard import Browser, browsing

from evolve.app.backfill_work import Pace
from evolve.app.pause_backfill import cancel_backfill
from evolve.app.show_backfills import show_backfill

pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here"),
]

NAME = "numbers.n"
# A copy of axe-core's axe.min.js; nothing is fetched by tests.
AXE = os.environ.get("EVOLVE_AXE")
SCREENS = [
    pytest.param({"width": 1200, "scheme": "light"}, id="light"),
    pytest.param({"width": 1200, "scheme": "dark"}, id="dark"),
    pytest.param({"width": 360, "scheme": "light"}, id="phone"),
    pytest.param({"width": 360, "scheme": "dark"}, id="phone-dark"),
]


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium() as found:
        yield found


@pytest.fixture
def browser(database_url: str, tab: Tab) -> Iterator[Browser]:
    """Of a run that was paused after some batches, with a reject; the tab has followed the link."""
    numbers(database_url, 2_000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers ADD CHECK (n <> 12) NOT VALID")
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches >= 5
    fill(
        database_url,
        spec("numbers", "n", "CASE WHEN id = 9 THEN 12 ELSE 7 END"),
        quiet,
        pace=Pace(largest=100),
    )
    with browsing(database_url, enter=False) as found:
        tab.problems.clear()
        tab.look(width=1200)
        tab.go(found.address.link)
        tab.until(f"document.body.innerText.includes('{NAME}')")
        yield found
        tab.go("about:blank")


def open_run(browser: Browser, tab: Tab) -> None:
    tab.go(f"{browser.address.page}run?name={NAME}")
    tab.until("document.getElementById('settings') !== null")


def test_the_token_is_gone_from_the_address(browser: Browser, tab: Tab) -> None:
    assert tab.value("location.href") == browser.address.page
    assert tab.problems == []


def test_a_link_on_a_page_of_others_leads_in(browser: Browser, tab: Tab, tmp_path: Path) -> None:
    tab.send("Network.clearBrowserCookies")
    page = tmp_path / "others.html"
    page.write_text(f'<a href="{browser.address.link}">link</a>', encoding="utf-8")
    tab.go(page.as_uri())
    tab.value("document.querySelector('a').click()")
    tab.until(f"document.body.innerText.includes('{NAME}')")
    assert tab.value("location.href") == browser.address.page


def test_what_is_being_copied_stays_marked(browser: Browser, tab: Tab, database_url: str) -> None:
    open_run(browser, tab)
    tab.until("states !== null")
    tab.value("getSelection().selectAllChildren(document.querySelector('#run code'))")
    cancel_backfill(database_url, NAME)
    tab.until("document.getElementById('controls').innerText.includes('ended')")
    assert tab.value("getSelection().toString()").startswith("n = CASE")
    tab.value("getSelection().removeAllRanges()")
    tab.until("document.getElementById('run').innerText.includes('cancelled')")


def test_what_another_terminal_does_appears_and_is_read_out(
    browser: Browser, tab: Tab, database_url: str
) -> None:
    open_run(browser, tab)
    tab.until("states !== null")
    cancel_backfill(database_url, NAME)
    tab.until("document.getElementById('run').innerText.includes('cancelled')")
    assert tab.value("document.getElementById('news').textContent") == f"{NAME}: cancelled"
    assert tab.problems == []


def test_a_setting_that_is_being_typed_is_not_taken_away(
    browser: Browser, tab: Tab, database_url: str
) -> None:
    open_run(browser, tab)
    tab.value("document.querySelector('#settings summary').click()")
    tab.value("document.getElementById('set-duty').focus()")
    tab.send("Input.insertText", text="0.5")
    cancel_backfill(database_url, NAME)
    tab.until("document.getElementById('run').innerText.includes('cancelled')")
    assert tab.value("document.getElementById('set-duty').value") == "0.5"


def test_the_keyboard_is_enough(browser: Browser, tab: Tab, database_url: str) -> None:
    open_run(browser, tab)
    for _ in range(60):
        tab.press("Tab")
        if tab.value("document.activeElement.parentElement.id") == "settings":
            break
    tab.press("Enter")
    for _ in range(3):  # target, duty
        if tab.value("document.activeElement.id") != "set-duty":
            tab.press("Tab")
    tab.send("Input.insertText", text="0.25")
    tab.press("Enter")
    tab.until("document.getElementById('run')?.innerText.includes('duty=0.25')")
    assert show_backfill(database_url, NAME).record.settings.duty == 0.25


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("path", ["", f"run?name={NAME}"], ids=["overview", "run"])
def test_nothing_is_cut_off(
    browser: Browser, tab: Tab, screen: dict[str, object], path: str, request: pytest.FixtureRequest
) -> None:
    tab.look(**screen)  # type: ignore[arg-type]
    tab.go(f"{browser.address.page}{path}")
    tab.until(f"document.body.innerText.includes('{NAME}')")
    for details in ("cancel", "settings"):
        tab.value(f"document.getElementById('{details}')?.setAttribute('open', '')")
    pictures = os.environ.get("EVOLVE_PICTURES")
    if pictures:
        tab.picture(Path(pictures, f"{request.node.callspec.id}.png"))
    assert tab.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert tab.problems == []


@pytest.mark.skipif(AXE is None, reason="EVOLVE_AXE names no copy of axe.min.js")
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("path", ["", f"run?name={NAME}", "run?name=nothing"])
def test_axe_finds_nothing(browser: Browser, tab: Tab, screen: dict[str, object], path: str) -> None:
    tab.look(**screen)  # type: ignore[arg-type]
    tab.go(f"{browser.address.page}{path}")
    tab.until("document.querySelector('h1') !== null")
    for details in ("cancel", "settings"):
        tab.value(f"document.getElementById('{details}')?.setAttribute('open', '')")
    assert AXE is not None
    tab.value(Path(AXE).read_text(encoding="utf-8"))
    found = tab.value(
        "axe.run().then(result => result.violations.map(each => [each.id, each.nodes[0].html]))"
    )
    assert found == []


def test_it_works_without_scripts(browser: Browser, tab: Tab, database_url: str) -> None:
    tab.look(width=1200, scripts=False)
    open_run(browser, tab)
    tab.value("document.querySelector('#cancel button').click()")
    tab.until("document.getElementById('run')?.innerText.includes('cancelled')")
    assert show_backfill(database_url, NAME).record.shown == "cancelled"
    assert tab.value("document.querySelector('meta[http-equiv]').content") == "15"
    tab.value("[...document.links].find((link) => link.innerText === 'Keep it still').click()")
    tab.until("location.search.endsWith('&still') && document.querySelector('meta[http-equiv]') === null")
    tab.look(width=1200)
