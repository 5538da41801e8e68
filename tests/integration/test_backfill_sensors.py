"""What holds a backfill on a real server: each hold names its sensor, and ends by itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from support.backfill import Quiet, fill, numbers, spec
from support.holds import Releasing, by

from evolve.app.backfill_work import Outcome, Pace
from evolve.app.resume_backfill import resume_backfill
from evolve.backfill.hours import Hours
from evolve.backfill.sensor import Degree, Limits, Reading, Unit
from evolve.backfill.sensor_kinds import BUILT_IN, Choice, read
from evolve.backfill.status import State
from evolve.backfill.throttling import Throttling
from evolve.postgres import journal
from evolve.postgres.connect import connect
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.http import Http, Prometheus
from evolve.postgres.sensors.make import Subject, make_sensor
from evolve.postgres.sensors.old_snapshot import OldestSnapshot
from evolve.postgres.sensors.unasked import Unasked

pytestmark = pytest.mark.server


def filled(url: str, quiet: Quiet, pace: Pace) -> Outcome:
    return fill(url, spec("numbers", "n", "n + 1"), quiet, pace=pace)


@contextmanager
def looking(url: str) -> Iterator[Eye]:
    eye = Eye(url)
    try:
        yield eye
    finally:
        eye.close()


def choice(name: str, **values: object) -> Choice:
    found = read(name, values)
    assert found is not None
    return found


def look(eye: Eye, name: str, subject: Subject, **values: object) -> Reading:
    return make_sensor(
        choice(name, **({"hard": 1e15} | values)), subject, eye, lambda path: pytest.fail(path)
    ).read()


@pytest.fixture
def subject(database_url: str) -> Subject:
    numbers(database_url, 500)
    filled(database_url, Quiet(), Pace(largest=100))
    with connect(database_url, autocommit=True) as connection:
        record = journal.named_run(connection, "numbers.n")
        return Subject(record.run_id, record.table_oid)


def test_each_sensor_of_the_server_has_an_answer(database_url: str, subject: Subject) -> None:
    with looking(database_url) as eye:
        answers = {name: look(eye, name, subject) for name in BUILT_IN}
    assert {name for name, answer in answers.items() if answer.value is None} == set()


def test_a_sensor_that_the_role_may_not_use_is_told_once_and_done_without(
    database_url: str, subject: Subject
) -> None:
    said: list[str] = []
    with connect(database_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE shortsighted LOGIN PASSWORD 'x'")
        try:
            at = psycopg.conninfo.conninfo_to_dict(database_url) | {"user": "shortsighted", "password": "x"}
            with looking(psycopg.conninfo.make_conninfo("", **at)) as eye:
                unasked = Unasked(OldestSnapshot(eye), "old-snapshot", said.append)
                answers = [unasked.read() for _ in range(2)]
        finally:
            admin.execute("DROP ROLE shortsighted")
    assert [answer.degree for answer in answers] == [Degree.FREE, Degree.FREE]
    assert said == [
        "sessions of others cannot be seen by this role (GRANT pg_read_all_stats):"
        " going on without the sensor old-snapshot"
    ]


def test_the_holder_of_an_old_snapshot_is_named(database_url: str, subject: Subject) -> None:
    with connect(database_url, application_name="report") as old, looking(database_url) as eye:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        answer = look(eye, "old-snapshot", subject)
    assert answer.value is not None
    assert '"report", idle in transaction' in answer.where


def test_somebody_who_waits_for_a_worker_is_seen(database_url: str, subject: Subject) -> None:
    with (
        connect(database_url) as worker,
        connect(database_url, application_name="shop") as waiting,
        connect(database_url, autocommit=True) as admin,
        looking(database_url) as eye,
    ):
        worker.execute("UPDATE numbers SET n = 5 WHERE id = 3")
        admin.execute("UPDATE evolve.backfill_range SET lease_backend = %s", (worker.info.backend_pid,))
        thread = threading.Thread(target=waiting.execute, args=("UPDATE numbers SET n = 6 WHERE id = 3",))
        thread.start()
        try:
            answer = until(lambda: look(eye, "waiters", subject), lambda found: bool(found.value))
        finally:
            worker.rollback()
            thread.join()
    assert '("shop") for a lock of this run' in answer.where


def test_a_slot_that_nobody_reads_keeps_wal(database_url: str, subject: Subject) -> None:
    with connect(database_url, autocommit=True) as connection, looking(database_url) as eye:
        connection.execute("SELECT pg_create_physical_replication_slot('left_behind', true)")
        try:
            connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000)")
            answer = look(eye, "slots", subject)
            ignored = look(eye, "slots", subject, ignore=["left_behind"])
        finally:
            connection.execute("SELECT pg_drop_replication_slot('left_behind')")
    assert answer.value
    assert 'slot "left_behind", which nobody reads' in answer.where
    assert ignored.value == 0


def until(ask: Callable[[], Reading], good: Callable[[Reading], bool]) -> Reading:
    end = time.monotonic() + 20
    while not good(found := ask()):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


# a run is held, says why, and goes on by itself


def test_a_statement_that_says_true_holds(database_url: str) -> None:
    numbers(database_url, 500)
    with connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE ops AS SELECT true AS frozen")
        quiet = Releasing(
            word="freeze says", release=lambda: connection.execute("UPDATE ops SET frozen = false")
        )
        pace = by({"freeze": {"sql": "SELECT frozen FROM ops", "every": "20ms"}})
        assert filled(database_url, quiet, pace).state is State.DONE
    assert quiet.held("freeze says") == "freeze says hold"


def test_a_number_is_held_against_its_limit(database_url: str) -> None:
    numbers(database_url, 500)
    with connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE jobs AS SELECT generate_series(1, 70)")
        quiet = Releasing(word="limit", release=lambda: connection.execute("DELETE FROM jobs"))
        pace = by({"queue": {"sql": "SELECT count(*) FROM jobs", "hard": 50, "every": "20ms"}})
        filled(database_url, quiet, pace)
    assert quiet.held("limit") == "queue 70, limit 50"


def test_a_statement_that_hangs_is_unknown_and_holds_up_no_other_sensor(
    database_url: str, tmp_path: Path
) -> None:
    numbers(database_url, 500)
    with connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE FUNCTION slow() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(60)'")
        quiet = Releasing(
            word="statement timeout",
            release=lambda: connection.execute(
                "CREATE OR REPLACE FUNCTION slow() RETURNS int LANGUAGE sql AS 'SELECT 1'"
            ),
        )
        pace = by({"queue": {"sql": "SELECT slow()", "hard": 50, "every": "20ms"}})
        assert filled(database_url, quiet, pace).state is State.DONE
    assert "queue unknown for " in quiet.held("statement timeout")
    assert not [hold for hold in quiet.holds if "replica" in hold]


def test_what_is_unknown_may_be_gone_on_without(database_url: str) -> None:
    numbers(database_url, 500)
    quiet = Releasing()
    outcome = filled(
        database_url,
        quiet,
        by({"queue": {"sql": "SELECT 'many'", "hard": 50, "unknown": "go", "every": "10ms"}}),
    )
    assert outcome.state is State.DONE


def test_a_file_holds_while_it_is_there_and_the_log_says_so(database_url: str, tmp_path: Path) -> None:
    numbers(database_url, 500)
    flag = tmp_path / "stop"
    flag.touch()

    def release() -> None:
        if ("hold", f"brake: the file {flag} is there") in events(database_url):
            flag.unlink(missing_ok=True)

    quiet = Releasing(word="brake", release=release)
    assert filled(database_url, quiet, by({"brake": {"file": str(flag)}})).state is State.DONE
    assert quiet.held("brake") == f"brake: the file {flag} is there"


def events(url: str) -> list[tuple[str, str]]:
    with connect(url, autocommit=True) as connection:
        record = journal.named_run(connection, "numbers.n")
        return [(event.kind, event.detail) for event in journal.events(connection, record.run_id)]


def test_a_critical_value_pauses_the_run_until_it_is_resumed(database_url: str) -> None:
    numbers(database_url, 500)
    quiet = Quiet()
    pace = by({"queue": {"sql": "SELECT 1000", "hard": 50, "critical": 500}})
    outcome = filled(database_url, quiet, pace)
    assert outcome.state is State.PAUSED
    assert ("pause", "queue 1,000, critical limit 500") in events(database_url)
    resumed = resume_backfill(database_url, "numbers.n", pace=Pace(), stop=Quiet(), watch=Quiet())
    assert resumed is not None
    assert resumed.state is State.DONE


def test_a_closed_window_holds_and_says_when_it_opens(database_url: str) -> None:
    numbers(database_url, 500)
    with connect(database_url, autocommit=True) as connection:
        ((minute,),) = connection.execute(
            "SELECT (extract(epoch FROM now())::bigint / 60 %% 1440)::int", ()
        ).fetchall()
    opens = (int(str(minute)) + 120) % 1440
    closes = (opens + 60) % 1440
    window = f"{opens // 60:02}:{opens % 60:02}-{closes // 60:02}:{closes % 60:02} UTC"
    quiet = Quiet(stop_when=lambda: any("opens" in (each.hold or "") for each in quiet.snapshots))
    outcome = filled(database_url, quiet, Pace(throttling=Throttling(windows=(Hours.parse(window),))))
    assert outcome.state is State.PAUSED
    assert outcome.rows == 0
    assert f"outside of the window {window}, opens " in str(quiet.snapshots[-1].hold)


def test_a_cap_on_wal_is_kept(database_url: str) -> None:
    numbers(database_url, 6000)
    with connect(database_url, autocommit=True) as connection:
        before = _wal(connection)
        began = time.monotonic()
        filled(database_url, Quiet(), Pace(largest=200, wal_per_second=500_000))
        seconds = time.monotonic() - began
        written = _wal(connection) - before
    assert written / seconds < 1_000_000


def _wal(connection: psycopg.Connection[tuple[object, ...]]) -> float:
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8").fetchone()
    assert row is not None
    return float(str(row[0]))


# what is asked over HTTP


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "degree"), [(200, Degree.FREE), (503, Degree.HARD)])
def test_a_status_holds_from_400_on(status: int, degree: Degree) -> None:
    with answering(status, b"") as url:
        assert Http("gateway", url).read().degree is degree


def vector(*values: str) -> bytes:
    result = [{"metric": {}, "value": [0, value]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (vector("3", "7"), 7.0),
        (b'{"status": "success", "data": {"resultType": "scalar", "result": [0, "4"]}}', 4.0),
        (vector(), None),
        (vector("NaN"), None),
        (b"<html>", None),
        (b'{"status": "error", "error": "parse error"}', None),
        (b'{"status": "success", "data": {"resultType": "matrix", "result": []}}', None),
        (b"[]", None),
    ],
)
def test_prometheus_answers_with_a_number_or_is_unknown(body: bytes, value: float | None) -> None:
    with answering(200, body) as url:
        assert Prometheus("lag", url, "up", Unit.NUMBER, Limits(hard=5)).read().value == value


def test_an_address_where_nobody_answers_is_unknown() -> None:
    with answering(200, b"") as url:
        gone = url
    with pytest.raises(OSError, match="refused"):
        Http("gateway", gone).read()
