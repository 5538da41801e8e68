"""The dashboard on a real server: what it shows, what its buttons do, and whom it refuses."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import psycopg
import pytest
from support.backfill import Quiet, fill, numbers, spec
from support.bad_input import CHANGE, Ground
from support.dashboard import Browser, browsing, no_project

from evolve.app.backfill_work import Pace
from evolve.app.follow_backfills import BackfillFollower
from evolve.app.show_backfills import show_backfill
from evolve.app.steer_backfill import set_backfill
from evolve.backfill.settings import Settings
from evolve.backfill.spec import Spec
from evolve.config import Config, PartitionedTable
from evolve.dashboard.serve import CannotServe
from evolve.dashboard.start import Wish, running
from evolve.postgres import scratch
from evolve.revisions.project import find_project
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

NAME = "numbers.n"


def paused(url: str, name: str = NAME) -> None:
    """A run of 2,000 rows that somebody stopped after three batches."""
    numbers(url, 2_000)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches >= 3
    made = Spec(name, QualifiedName("numbers"), (("n", "7"),))
    fill(url, made, quiet, pace=Pace(largest=100))
    assert show_backfill(url, name).record.shown == "paused"


@pytest.fixture
def browser(database_url: str) -> Iterator[Browser]:
    paused(database_url)
    with browsing(database_url) as found:
        yield found


def seen(browser: Browser, name: str = NAME) -> str:
    """The page of a run, once it has been looked at."""
    return browser.until(lambda: browser.run(name), lambda answer: answer.status == 200).plain


def test_a_run_is_shown_with_its_progress_and_events(browser: Browser) -> None:
    overview = browser.until(lambda: browser.ask("/"), lambda answer: NAME in answer.text)
    assert "paused" in overview.plain
    page = seen(browser)
    assert "SET n = 7" in page or "n = 7" in page
    assert re.search(r"\d+ % ", page)
    assert "Events" in page


@pytest.mark.parametrize(
    "path", ["/", "/run?name=numbers.n", "/live", "/live?name=numbers.n", "/?token=wrong"]
)
def test_without_the_token_nothing_is_shown(browser: Browser, path: str) -> None:
    seen(browser)
    browser.cookie = ""
    answer = browser.ask(path)
    assert (answer.status, NAME in answer.text, "postgresql://" in answer.text) == (401, False, False)


def test_the_token_leaves_the_address_for_a_cookie_that_scripts_and_other_sites_do_not_get(
    browser: Browser,
) -> None:
    browser.cookie = ""
    answer = browser.ask(f"/?token={browser.address.token}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.address.token.lower() not in cookie


def test_the_token_may_be_typed_in(browser: Browser) -> None:
    browser.cookie = ""
    assert browser.ask("/sign-in", {"token": "wrong"}).status == 401
    assert browser.ask("/sign-in", {"token": browser.address.token}).status == 303


def test_a_program_gives_it_as_a_header(browser: Browser) -> None:
    browser.cookie = ""
    header = {"Authorization": f"Bearer {browser.address.token}"}
    assert browser.ask("/", headers=header).status == 200


def test_resume_goes_on_in_a_process_of_its_own(browser: Browser, database_url: str) -> None:
    seen(browser)
    assert browser.press(NAME, "resume").status == 303
    done = browser.until(lambda: browser.run(NAME), lambda answer: "It has ended" in answer.plain)
    assert "100 %" in done.plain
    assert show_backfill(database_url, NAME).record.shown == "done"


def test_resume_tells_why_it_could_not(browser: Browser, database_url: str) -> None:
    seen(browser)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers RENAME TO figures")
    answer = browser.press(NAME, "resume")
    assert answer.status == 409
    assert '"numbers"' in answer.plain


def test_cancel_ends_the_run(browser: Browser, database_url: str) -> None:
    seen(browser)
    assert browser.press(NAME, "cancel").status == 303
    assert show_backfill(database_url, NAME).record.shown == "cancelled"
    assert "It has ended" in browser.run(NAME).plain


def test_settings_are_set(browser: Browser, database_url: str) -> None:
    seen(browser)
    assert browser.press(NAME, "set", duty="0.5", target=" 30ms ", rows="").status == 303
    assert str(show_backfill(database_url, NAME).record.settings) == "target=30ms duty=0.5"


def test_a_setting_that_does_not_work_is_explained(browser: Browser, database_url: str) -> None:
    seen(browser)
    answer = browser.press(NAME, "set", duty="7")
    assert answer.status == 400
    assert "a share of the time" in answer.plain
    assert not show_backfill(database_url, NAME).record.settings.said


def test_pause_stops_a_run_that_goes_on(database_url: str) -> None:
    numbers(database_url, 3_000)
    with browsing(database_url) as browser:
        pressed: list[int] = []

        def between(batch: int) -> None:
            if batch == 2:
                browser.until(lambda: browser.run(NAME), lambda answer: 'id="pause"' in answer.text)
                pressed.append(browser.press(NAME, "pause").status)

        outcome = fill(database_url, spec("numbers", "n", "7"), Quiet(between=between), pace=Pace(largest=50))
    assert (pressed, outcome.state.value) == ([303], "paused")


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({"Origin": "http://evil.example"}, None),
        ({"Origin": "null"}, None),
        ({"Origin": ""}, None),
        ({"Origin": "", "Sec-Fetch-Site": "cross-site"}, None),
        ({}, "wrong"),
        ({}, ""),
    ],
)
def test_a_post_from_elsewhere_does_nothing(
    browser: Browser, database_url: str, headers: dict[str, str], form: str | None
) -> None:
    seen(browser)
    token = re.search(r'name="form" value="([^"]+)"', browser.run(NAME).text)
    assert token is not None
    fields = {"form": token[1] if form is None else form, "name": NAME, "action": "cancel"}
    assert browser.ask("/act", fields, headers).status == 403
    assert show_backfill(database_url, NAME).record.shown == "paused"


def test_a_post_without_the_cookie_does_nothing(browser: Browser, database_url: str) -> None:
    browser.cookie = ""
    assert browser.ask("/act", {"form": "", "name": NAME, "action": "cancel"}).status == 401
    assert show_backfill(database_url, NAME).record.shown == "paused"


def test_read_only_has_no_buttons_and_refuses_posts(database_url: str) -> None:
    paused(database_url)
    with browsing(database_url, read_only=True) as browser:
        seen(browser)
        assert "<form" not in browser.run(NAME).text
        header = {"Authorization": f"Bearer {browser.address.token}"}
        assert browser.ask("/act", {"name": NAME, "action": "cancel"}, header).status == 403
    assert show_backfill(database_url, NAME).record.shown == "paused"


def test_another_name_for_this_machine_is_refused(browser: Browser) -> None:
    assert browser.ask("/", headers={"Host": "evil.example"}).status == 421


@pytest.mark.parametrize(
    "path", ["/", "/run?name=numbers.n", "/run?name=no", "/nowhere", "/static/dashboard.js", "/sign-in"]
)
def test_every_answer_forbids_frames_and_what_is_elsewhere(browser: Browser, path: str) -> None:
    policy = browser.ask(path).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_the_pages_hold_nothing_that_the_policy_would_stop(browser: Browser) -> None:
    seen(browser)
    for page in (browser.ask("/").text, browser.run(NAME).text):
        assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\sstyle=|\son\w+=|https?://", page)


def test_names_are_text(database_url: str) -> None:
    name = "<script>alert(1)</script>&\"'/?\u202e\n"
    paused(database_url, name)
    with browsing(database_url) as browser:
        assert name.strip().replace("\u202e", r"\u202e") in seen(browser, name)
        assert "<script>alert" not in browser.run(name).text + browser.ask("/").text
        assert browser.press(name, "cancel").status == 303
    assert show_backfill(database_url, name).record.shown == "cancelled"


def test_what_changes_is_sent_to_who_listens(browser: Browser, database_url: str) -> None:
    seen(browser)
    events = browser.listen(f"/live?name={NAME}")
    assert next(events)["states"] == {NAME: "paused", "The database": "it answers"}
    browser.press(NAME, "cancel")
    state, parts = "paused", {}
    while state == "paused":
        event = next(events)
        state, parts = event["states"][NAME], event["parts"]
    assert state == "cancelled"
    assert "cancelled" in parts["run"]


def test_the_head_of_what_is_sent_on_and_on_has_an_end(browser: Browser) -> None:
    connection = http.client.HTTPConnection(browser.host, timeout=60)
    with closing(connection):
        for path in ("/live", "/"):  # the second on the same connection
            connection.request("HEAD", path, headers={"Cookie": browser.cookie})
            with connection.getresponse() as answer:
                assert answer.status == 200


def test_a_link_on_a_page_of_others_lets_in_by_a_page_of_our_own(browser: Browser) -> None:
    """Since a cookie that is set on the way there would not be sent along with a redirect."""
    answer = browser.ask(f"/?token={browser.address.token}", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status, answer.headers["refresh"]) == (200, "0; url=/")
    assert browser.address.token not in answer.text


@pytest.mark.parametrize("name", ["no", "\0", "\ud800", "x" * 5_000])
def test_names_of_no_run_are_told_so_whatever_they_are(browser: Browser, name: str) -> None:
    seen(browser)
    header = {"Authorization": f"Bearer {browser.address.token}"}
    place = quote(name, safe="", errors="surrogatepass")
    found = [browser.ask(f"{path}?name={place}").status for path in ("/run", "/live")]
    acted = browser.ask(f"/act?name={place}", {"action": "pause"}, {**header, "Origin": ""})
    assert (found, acted.status) == ([404, 404], 404)


def test_a_run_at_rest_is_read_once_until_it_changes(database_url: str) -> None:
    paused(database_url)
    with closing(BackfillFollower(database_url)) as follower:
        first, second = follower.look()[0], follower.look()[0]
        set_backfill(database_url, NAME, Settings(duty=0.5))
        third = follower.look()[0]
    assert second.view is first.view
    assert third.view.record.settings.duty == 0.5
    assert third.view.events[-1].kind == "set"


def test_an_unknown_run_is_answered_with_the_nearest(browser: Browser) -> None:
    seen(browser)
    answer = browser.run("numbers.m")
    assert answer.status == 404
    assert 'did you mean "numbers.n"?' in answer.plain


def test_rejects_are_shown(database_url: str) -> None:
    numbers(database_url, 200)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers ADD CHECK (n <> 12) NOT VALID")
    fill(database_url, spec("numbers", "n", "CASE WHEN id = 9 THEN 12 ELSE 7 END"))
    with browsing(database_url) as browser:
        page = seen(browser)
    assert "1 of at most 100 rows could not be written" in page
    assert "numbers_n_check" in page


def test_a_server_that_goes_away_is_told(
    scratch_server: scratch.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evolve.dashboard.watcher.AGAIN", 0.1)
    url = scratch_server.create_database()
    paused(url)
    with browsing(url) as browser:
        seen(browser)
        scratch_server.drop_database(url)
        told = browser.until(lambda: browser.ask("/"), lambda answer: "does not exist" in answer.plain)
        assert NAME in told.plain  # what was known stays


def test_changes_are_shown_with_their_phases_and_gates(database_url: str, tmp_path: Path) -> None:
    ground = Ground.prepare(tmp_path / "project", database_url)
    ground.connection.close()
    with browsing(database_url, project=lambda: find_project(ground.root)) as browser:
        page = browser.until(lambda: browser.ask("/"), lambda answer: CHANGE in answer.text).plain
    assert "expand backfill validate" in page
    assert "next: evolve" in page


def test_partitions_are_shown_with_the_days_that_are_left(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE events (at timestamptz NOT NULL) PARTITION BY RANGE (at)")
        connection.execute(
            "CREATE TABLE events_past PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"
        )
    scheme = PartitionedTable("range", {"key": "at", "interval": "1 month", "premake": "1 month"})
    config = Config(partition=MappingProxyType({"events": scheme}))
    with browsing(database_url, config) as browser:
        page = browser.until(lambda: browser.ask("/"), lambda answer: "events" in answer.text).plain
    assert "events ended 1 range (at)" in page
    assert "evolve partition premake events" in page


def test_a_port_in_use_is_told(browser: Browser, database_url: str) -> None:
    port = int(browser.host.rpartition(":")[2])
    wish = Wish(database_url, Config(), no_project, (), "127.0.0.1", port, False, False)
    with pytest.raises(CannotServe, match="the port is in use"), running(wish):
        pass
