"""The pure decisions around a run: keys, states, journal, verification, failures, waits, specifications."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evolve.backfill import status
from evolve.backfill.dependencies import unsettled
from evolve.backfill.failures import Verdict, judge
from evolve.backfill.forgetting import StillGoesOn, may_forget
from evolve.backfill.keyset import KeyColumn, NoKey, UniqueIndex, UnusableKey, choose_key, fraction
from evolve.backfill.ports import DatabaseFailure, Want
from evolve.backfill.progress import Meter
from evolve.backfill.record import (
    BeingUndone,
    NotEnded,
    RunEnded,
    RunPaused,
    RunRecord,
    SpecChanged,
    may_resume,
    may_start,
)
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.throttle import Duty, RowsPerSecond, Throttles
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.twice import may_walk_again
from evolve.backfill.undo import JournalMode, keeps_journal
from evolve.backfill.verify import Verdict as Seen
from evolve.backfill.verify import misses_predicate
from evolve.sql.names import QualifiedName

EVENTS = QualifiedName("events")
SPEC = Spec("fill", QualifiedName("users", "app"), (("full", "first || last"),), "full IS NULL", ("id",))


def index(name: str, *columns: str, primary: bool = False, not_null: bool = True) -> UniqueIndex:
    return UniqueIndex(name, tuple(KeyColumn(column, "bigint") for column in columns), primary, not_null)


# keys


def test_the_primary_key_is_walked() -> None:
    chosen = choose_key(EVENTS, [index("a", "x"), index("p", "id", primary=True)], None)
    assert chosen.name == "p"


def test_without_one_the_narrowest_unique_index_is_walked() -> None:
    chosen = choose_key(EVENTS, [index("wide", "x", "y"), index("narrow", "z")], None)
    assert chosen.name == "narrow"


def test_a_table_without_a_key_is_refused_in_so_many_words() -> None:
    with pytest.raises(NoKey) as refused:
        choose_key(EVENTS, [], None)
    assert str(refused.value) == (
        'table "events" has no primary key and no unique NOT NULL index\n'
        "  why: a backfill resumes after the last key it committed, so rows need a unique order\n"
        "  fix: add a primary key; or walk it block by block: --key ctid, with a --where that a row no longer fits"
        " once it is written"
    )


def test_why_none_of_its_unique_indexes_will_do_is_said_of_each() -> None:
    falling = UniqueIndex("falling", (KeyColumn("a", "bigint"),), False, True, unfit="it falls")
    with pytest.raises(NoKey) as refused:
        choose_key(EVENTS, [index("nullable", "x", not_null=False), falling], None)
    assert (
        refused.value.why
        == 'not by "nullable" (x): a column of it may be null; not by "falling" (a): it falls'
    )


def test_a_named_key_needs_an_index_in_that_order() -> None:
    with pytest.raises(UnusableKey, match="use --key a,b"):
        choose_key(EVENTS, [index("p", "a", "b", primary=True)], ("b", "a"))


def test_a_named_key_may_not_be_null() -> None:
    with pytest.raises(UnusableKey, match="may be null"):
        choose_key(EVENTS, [index("u", "a", not_null=False)], ("a",))


@pytest.mark.parametrize(
    ("type_", "low", "cursor", "upto", "expected"),
    [
        ("bigint", "0", "25", "100", 0.25),
        ("uuid", f"{0:032x}", "80000000-0000-0000-0000-000000000000", "f" * 32, 0.5),
        (
            "timestamp with time zone",
            "2026-01-01T00:00:00+00:00",
            "2026-01-02T00:00:00+00:00",
            "2026-01-05T00:00:00+00:00",
            0.25,
        ),
        ("date", "2026-01-01", "2026-01-03", "2026-01-05", 0.5),
        ("timestamp without time zone", "-infinity", "2026-01-03", "infinity", None),
        ("text", "a", "b", "c", None),
        ("bigint", "7", "7", "7", None),
    ],
)
def test_how_far_a_cursor_is(type_: str, low: str, cursor: str, upto: str, expected: float | None) -> None:
    found = fraction((KeyColumn("k", type_),), (low,), (cursor,), (upto,))
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))


# states


def test_every_state_can_be_left_but_what_is_undone_goes_only_backwards() -> None:
    assert all(status.FOLLOWS[state] for state in State)
    assert status.FOLLOWS[State.UNDONE] == {State.UNDOING}


@pytest.mark.parametrize("state", sorted(status.ACTIVE))
def test_without_a_worker_no_state_claims_to_be_at_work(state: State) -> None:
    assert "interrupted" in status.shown(state, Want.RUN, held=False)


def test_what_is_asked_shows_before_it_is_done() -> None:
    assert status.shown(State.RUNNING, Want.PAUSE, held=True) == "pausing"
    assert status.shown(State.RUNNING, Want.CANCEL, held=True) == "cancelling"


def record(state: State, spec: Spec = SPEC) -> RunRecord:
    return RunRecord(
        run_id=1, name=spec.name, spec=spec, fingerprint=spec.fingerprint, table_oid=1,
        key=(KeyColumn("id", "bigint"),),
        state=state, want=Want.RUN, cut=False, low=None, ranges=0, open=(), batches=0, scanned=0, changed=0,
        rows_estimate=None, journal=False, fence=1, verify=None, error=None, lead=None, workers=(), started_by="me",
        started_at=datetime(2026, 1, 1, tzinfo=UTC), ended_at=None,
    )  # fmt: skip


@pytest.mark.parametrize("state", [State.FENCING, State.RUNNING, State.VERIFYING, State.FAILED, State.DONE])
def test_run_goes_on_with(state: State) -> None:
    assert may_start(record(state), SPEC, restart=False) is not None


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (State.PAUSED, RunPaused),
        (State.CANCELLED, RunEnded),
        (State.UNDONE, RunEnded),
        (State.UNDOING, BeingUndone),
    ],
)
def test_run_refuses(state: State, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        may_start(record(state), SPEC, restart=False)


@pytest.mark.parametrize("state", sorted(status.ENDED))
def test_restart_makes_a_new_run_of_an_ended_one(state: State) -> None:
    assert may_start(record(state), replace(SPEC, where=None), restart=True) is None


@pytest.mark.parametrize("state", sorted(set(State) - status.ENDED))
def test_restart_refuses_a_run_that_has_not_ended(state: State) -> None:
    with pytest.raises(NotEnded):
        may_start(record(state), SPEC, restart=True)


def test_another_specification_is_refused_with_the_difference() -> None:
    with pytest.raises(SpecChanged, match=r"set: full = first \|\| last → full = upper"):
        may_start(record(State.RUNNING), replace(SPEC, assignments=(("full", "upper(last)"),)), restart=False)


@pytest.mark.parametrize("state", [State.DONE, State.CANCELLED, State.UNDONE])
def test_an_ended_run_is_not_resumed(state: State) -> None:
    with pytest.raises(RunEnded):
        may_resume(record(state))


def test_who_resumes_a_done_run_is_not_told_to_undo_it() -> None:
    adds = replace(SPEC, assignments=(("full", "full || last"),), where=None)
    with pytest.raises(RunEnded) as refused:
        may_resume(replace(record(State.DONE, adds), journal=True))
    assert refused.value.fix == "see what it did: evolve backfill status fill"


def test_a_specification_survives_the_journal() -> None:
    assert Spec.from_json(SPEC.to_json()) == SPEC


# undo journal


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        (None, True),
        ("full IS NULL", False),
        ('"full" is null AND id > 5', False),
        ("full IS NULL OR id > 5", True),
        ("NOT (full IS NULL)", True),
        ("fullest IS NULL", True),
        ("full IS NOT NULL", True),
    ],
)
def test_auto_keeps_what_could_be_lost(where: str | None, kept: bool) -> None:
    assert keeps_journal(replace(SPEC, where=where), JournalMode.AUTO) is kept


@pytest.mark.parametrize(
    "where", ["first = 'a AND full IS NULL AND b'", '"FULL" IS NULL', "first = 'x' -- AND\n AND full IS NULL"]
)
def test_what_only_looks_like_null_before_is_kept(where: str) -> None:
    assert keeps_journal(replace(SPEC, where=where), JournalMode.AUTO)


def test_every_target_must_have_been_null() -> None:
    two = replace(SPEC, assignments=(("full", "a"), ("other", "b")))
    assert keeps_journal(two, JournalMode.AUTO)


# verification


def test_where_and_mismatch_are_both_counted() -> None:
    assert misses_predicate(replace(SPEC, mismatch="full = ''")) == "(full IS NULL) OR (full = '')"


def test_without_them_the_assignments_are_compared() -> None:
    assert misses_predicate(replace(SPEC, where=None)) == '("full" IS DISTINCT FROM (first || last))'


def test_a_comment_does_not_swallow_what_follows() -> None:
    assert misses_predicate(replace(SPEC, where="full IS NULL -- yet")) == "(full IS NULL -- yet\n)"


@pytest.mark.parametrize("expression", ["full || '!'", 'upper("full")', "FULL", "users.full"])
def test_nothing_tells_whether_an_expression_ran_that_reads_what_it_writes(expression: str) -> None:
    assert misses_predicate(replace(SPEC, where=None, assignments=(("full", expression),))) is None


@pytest.mark.parametrize(
    "expression",
    ["gen_random_uuid()", "Random () * 6", "first || now()", "CURRENT_TIMESTAMP", "nextval('s')"],
)
def test_nothing_tells_whether_an_expression_ran_that_is_another_one_each_time(expression: str) -> None:
    assert misses_predicate(replace(SPEC, where=None, assignments=(("full", expression),))) is None
    assert misses_predicate(replace(SPEC, assignments=(("full", expression),))) == "(full IS NULL)"


@pytest.mark.parametrize("expression", ["lower(first)", "'now()'", "known()", "first || current_dates"])
def test_an_expression_of_the_row_alone_is_compared(expression: str) -> None:
    assert misses_predicate(replace(SPEC, where=None, assignments=(("full", expression),))) is not None


# a second walk


@pytest.mark.parametrize(
    ("where", "expression", "journal", "again"),
    [
        ("full IS NULL", "coalesce(full, '') || '!'", False, True),
        ("full <> lower(first)", "lower(first)", False, True),
        ("full <> lower(first)", "lower(first)", True, False),
        ("active", "lower(first)", False, False),
        ("full <> 'x'", "full || '!'", False, False),
        ("full <> 'x'", "gen_random_uuid()::text", False, False),
        (None, "lower(first)", False, False),
    ],
)
def test_rows_are_walked_again_where_none_can_be_written_twice(
    where: str | None, expression: str, journal: bool, again: bool
) -> None:
    each = replace(SPEC, where=where, assignments=(("full", expression),))
    assert may_walk_again(each, journal=journal) is again


@pytest.mark.parametrize(
    ("expression", "command"),
    [("first", "evolve backfill run fill --restart"), ("full || '!'", "evolve backfill status fill")],
)
def test_no_gate_says_to_write_rows_again_that_would_add_up(expression: str, command: str) -> None:
    each = replace(SPEC, where="active", assignments=(("full", expression),))
    missed = replace(record(State.DONE, each), verify=Seen(2, 1, (("1",),), "", "active"))
    why = unsettled("fill", missed)
    assert why is not None
    assert why.command == command


def test_an_undo_that_was_cut_short_is_given_up_only_in_so_many_words() -> None:
    with pytest.raises(StillGoesOn) as refusal:
        may_forget(record(State.UNDOING), force=False)
    assert refusal.value.fix == (
        "let it end: evolve backfill undo fill, or give its old values up: evolve backfill forget fill --force"
    )
    may_forget(record(State.UNDOING), force=True)


def test_effects_are_not_repeated_by_a_second_walk() -> None:
    effects = Transform("shop:send", ("first",), (), Mode.OUTBOX)
    assert not may_walk_again(
        replace(SPEC, assignments=(), where="full IS NULL", work=effects), journal=False
    )


def test_a_name_in_a_string_is_no_column() -> None:
    assert misses_predicate(replace(SPEC, where=None, assignments=(("full", "'full' || first"),))) is not None


# failures


@pytest.mark.parametrize(
    ("sqlstate", "lost", "verdict"),
    [
        ("40P01", False, Verdict.CONTENDED),
        ("40001", False, Verdict.CONTENDED),
        ("55P03", False, Verdict.CONTENDED),
        ("57014", False, Verdict.TOO_SLOW),
        ("53100", False, Verdict.EXHAUSTED),
        ("57P01", True, Verdict.DISCONNECTED),
        ("25P03", False, Verdict.DISCONNECTED),
        ("25006", False, Verdict.DISCONNECTED),
        (None, True, Verdict.DISCONNECTED),
        # as in PostgreSQL's list of codes
        ("08006", False, Verdict.DISCONNECTED),
        ("57P02", True, Verdict.DISCONNECTED),
        ("57P03", False, Verdict.DISCONNECTED),
        ("55006", False, Verdict.CONTENDED),
        ("72000", False, Verdict.CONTENDED),
        ("40003", False, Verdict.CONTENDED),
        ("53200", False, Verdict.CONTENDED),  # out of memory: less at once
        ("53400", False, Verdict.CONTENDED),  # temp_file_limit
        ("53300", False, Verdict.EXHAUSTED),
        ("25P04", True, Verdict.TOO_SLOW),  # transaction_timeout ends the session
        ("22012", False, Verdict.ROW),
        ("23505", False, Verdict.ROW),
        ("44000", False, Verdict.ROW),
        ("P0001", False, Verdict.ROW),
        ("38000", False, Verdict.ROW),
        ("21000", False, Verdict.ROW),
        ("27000", False, Verdict.ROW),
        ("54000", False, Verdict.ROW),  # a value too large for its index
        ("39000", False, Verdict.FATAL),
        ("42703", False, Verdict.FATAL),
        ("42501", False, Verdict.FATAL),
        ("XX001", False, Verdict.FATAL),
    ],
)
def test_what_a_sqlstate_means(sqlstate: str | None, lost: bool, verdict: Verdict) -> None:
    assert judge(DatabaseFailure("?", sqlstate=sqlstate, lost=lost)) is verdict


# waits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_half_duty_waits_as_long_as_the_batch_took() -> None:
    clock = Clock()
    duty = Duty(0.5, clock)
    clock.now = 10.0
    duty.committed(100, 0.02)
    hold = duty.hold()
    assert hold is not None
    assert hold.seconds == pytest.approx(0.02)


@pytest.mark.parametrize("part", [1.0, 0.25])
def test_a_cap_on_rows_holds_over_time(part: float) -> None:
    clock = Clock()
    cap = RowsPerSecond(1000, clock, lambda: part)
    rows = 0
    while clock.now < 10:
        hold = cap.hold()
        if hold is not None:
            clock.now += hold.seconds
            continue
        clock.now += 0.01
        cap.committed(150, 0.01)
        rows += 150
    assert rows == pytest.approx(10_000 * part, rel=0.05)


def test_the_longest_wait_names_itself() -> None:
    clock = Clock()
    both = Throttles((RowsPerSecond(100, clock), Duty(0.5, clock)))
    both.committed(100, 0.1)
    hold = both.hold()
    assert hold is not None
    assert hold.reason == "at most 100 rows/s"


# progress


def test_time_left_follows_the_rate_of_late() -> None:
    clock = Clock()
    meter = Meter(10_000, clock)
    for _ in range(200):
        clock.now += 0.1
        meter.committed(10)
    part = meter.fraction(2000, None, finished=False)
    assert meter.rate() == pytest.approx(100, rel=0.05)
    assert meter.seconds_left(2000, part) == pytest.approx(80, rel=0.05)


def test_statistics_that_are_too_small_give_way_to_the_key() -> None:
    meter = Meter(10, Clock())
    assert meter.fraction(500, 0.4, finished=False) == 0.4
