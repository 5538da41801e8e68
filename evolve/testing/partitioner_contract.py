"""What every partitioner must keep to, as a class of tests that a plugin's own tests inherit.

    class TestHash(PartitionerContract):
        partitioner = Hash(column="id", modulus=4)
        profiles = (Profile(), Profile(low=1, high=900, rows=900))

pytest collects the subclass; its name must begin with "Test". What only a server can tell (that it takes the bounds,
and routes rows as said) is told by `check_on_server`, for which a test brings a database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, fields, is_dataclass
from datetime import UTC, datetime
from typing import ClassVar

from evolve.plugin_api import (
    MAX_BYTES,
    Bound,
    Column,
    DefaultBound,
    HashBound,
    ListBound,
    NotAdopted,
    Partition,
    Partitioner,
    Problems,
    Profile,
    QualifiedName,
    RangeBound,
    TableInfo,
    Value,
    bound_sql,
    check_sql,
    first_overlap,
    gaps,
    less,
    route_sql,
    sorted_ranges,
    tiles,
)

_TABLE = QualifiedName("orders")


class PartitionerContract:
    """Attributes:
    partitioner: what is tested.
    profiles: tables it must cope with; an empty one among them.
    moments: times it must cope with, each with a zone.
    """

    partitioner: ClassVar[Partitioner]
    profiles: ClassVar[Sequence[Profile]] = (Profile(),)
    moments: ClassVar[Sequence[datetime]] = (
        datetime(2023, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    )

    def test_kind_and_method_are_named(self) -> None:
        _claim(isinstance(self.partitioner.kind, str) and bool(self.partitioner.kind), "kind is a word")
        _claim(self.partitioner.method in ("range", "list", "hash"), "method is one of PostgreSQL's")

    def test_key_is_made_of_columns(self) -> None:
        _claim(bool(self.partitioner.key), "there is at least one key column")
        _claim(len(set(self.partitioner.key)) == len(self.partitioner.key), "no column comes twice")

    def test_it_is_frozen(self) -> None:
        _claim(is_dataclass(self.partitioner), "it is a dataclass")
        first = fields(self.partitioner)[0].name  # type: ignore[arg-type]  # a dataclass, as was just claimed
        try:
            setattr(self.partitioner, first, None)
        except (FrozenInstanceError, AttributeError):
            return
        _claim(False, "it is frozen")

    def test_unknown_option_is_a_problem(self) -> None:
        table = TableInfo(_TABLE, (Column("id", "bigint", not_null=True),), ("id",))
        answer = type(self.partitioner).parse({"no_such_option": 1}, table)
        _claim(isinstance(answer, Problems), "parse answers with Problems")
        named = answer.found if isinstance(answer, Problems) else ()
        _claim(any(problem.field == "no_such_option" for problem in named), "the problem names the option")

    def test_no_options_at_all_is_a_problem(self) -> None:
        answer = type(self.partitioner).parse({}, TableInfo(_TABLE, ()))
        _claim(isinstance(answer, Problems), "parse answers with Problems")

    def test_partitions_never_overlap(self) -> None:
        for partitions in self._all():
            _claim(first_overlap(partitions) is None, f"{first_overlap(partitions)} overlap")

    def test_ranges_leave_no_gap(self) -> None:
        for partitions in self._all():
            _claim(not gaps(partitions), f"a gap at {gaps(partitions)[:1]}")

    def test_ranges_come_in_order(self) -> None:
        for partitions in self._all():
            ranges = [partition for partition, _ in sorted_ranges(partitions)]
            _claim(
                ranges == [p for p in partitions if isinstance(p.bound, RangeBound)], "the lowest comes first"
            )

    def test_ranges_hold_what_the_table_holds(self) -> None:
        for profile in self.profiles:
            for moment in self.moments:
                partitions = self.partitioner.initial(_TABLE.name, profile, moment)
                for value in (profile.low, profile.high):
                    homes = [
                        p for p in partitions if isinstance(p.bound, RangeBound) and _holds(p.bound, value)
                    ]
                    wanted = 1 if value is not None and self.partitioner.method == "range" else 0
                    _claim(len(homes) >= wanted, f"{value!r} has a partition")

    def test_hash_partitions_are_complete(self) -> None:
        for partitions in self._all():
            hashed = [p.bound for p in partitions if isinstance(p.bound, HashBound)]
            if hashed:
                share = sum(1 / bound.modulus for bound in hashed)
                _claim(abs(share - 1) < 1e-9, "every remainder has a partition")

    def test_bounds_are_of_the_method(self) -> None:
        kinds = {"range": RangeBound, "list": ListBound, "hash": HashBound}
        for partitions in self._all():
            for partition in partitions:
                kind = kinds[self.partitioner.method]
                # PostgreSQL knows no default partition of a table partitioned by hash.
                default = isinstance(partition.bound, DefaultBound) and kind is not HashBound
                _claim(default or isinstance(partition.bound, kind), f"{partition} has a {kind.__name__}")

    def test_names_are_unique_and_fit(self) -> None:
        for table in ("orders", "x" * MAX_BYTES, "ü" * (MAX_BYTES // 2), "Order Lines"):
            for profile in self.profiles:
                for moment in self.moments:
                    names = [p.name for p in self.partitioner.initial(table, profile, moment)]
                    _claim(len(set(names)) == len(names), f"names for {table} are unique")
                    _claim(
                        all(0 < len(n.encode()) <= MAX_BYTES for n in names),
                        f"names for {table} fit 63 bytes",
                    )

    def test_names_of_long_tables_differ(self) -> None:
        profile, moment = self.profiles[0], self.moments[0]
        one = {p.name for p in self.partitioner.initial("t" * 62 + "a", profile, moment)}
        other = {p.name for p in self.partitioner.initial("t" * 62 + "b", profile, moment)}
        _claim(not one & other, "two long table names lead to different partition names")

    def test_it_is_pure(self) -> None:
        for profile in self.profiles:
            for moment in self.moments:
                one = self.partitioner.initial(_TABLE.name, profile, moment)
                _claim(one == self.partitioner.initial(_TABLE.name, profile, moment), "the same answer twice")

    def test_upkeep_ends(self) -> None:
        for profile in self.profiles:
            for moment in self.moments:
                due = self.partitioner.due(_TABLE.name, (), moment, profile)
                again = self.partitioner.due(_TABLE.name, due.create, moment, profile)
                _claim(not again.create and not again.conflicts, "nothing is due once everything was done")

    def test_a_lost_partition_is_made_again(self) -> None:
        for profile in self.profiles:
            for moment in self.moments:
                whole = self.partitioner.initial(_TABLE.name, profile, moment)
                for lost in (whole[0], whole[len(whole) // 2], whole[-1]):
                    rest = tuple(partition for partition in whole if partition != lost)
                    due = self.partitioner.due(_TABLE.name, rest, moment, profile)
                    _claim(due.create == (lost,), f"{lost.name} is due when it is missing")

    def test_sql_can_be_written(self) -> None:
        for partitions in self._all():
            for partition in partitions:
                _claim(bool(bound_sql(partition.bound)), "a bound for ATTACH PARTITION")
                check = check_sql(partition.bound, self.partitioner.key, _TABLE)
                default = isinstance(partition.bound, DefaultBound)
                _claim(default or bool(check), "a CHECK that spares ATTACH PARTITION its scan")
            route = route_sql(partitions, self.partitioner.key, _TABLE)
            _claim(
                route is not None and all(f"'{partition.name}'" in route for partition in partitions),
                "a row may be routed to each",
            )

    def test_adopted_bound_takes_all(self) -> None:
        for profile in self.profiles:
            for moment in self.moments:
                bound = self.partitioner.adopt(profile, moment)
                if isinstance(bound, NotAdopted):
                    _claim(bool(bound.reason), "a refusal has a reason")
                    continue
                for value in (profile.low, profile.high):
                    held = not isinstance(bound, RangeBound) or _holds(bound, value)
                    _claim(held, f"{value!r} is within the adopted bound")
                name = self.partitioner.name(_TABLE.name, bound)
                due = self.partitioner.due(_TABLE.name, (Partition(name, bound),), moment, profile)
                _claim(not due.conflicts, "no wanted partition crosses the adopted one")
                _claim(
                    name not in {p.name for p in due.create}, "the adopted partition has a name of its own"
                )

    def test_a_split_tiles_what_it_splits(self) -> None:
        for partition, pieces in self._splits():
            _claim(len(pieces) > 1, f"{partition.name} is split into two at least")
            _claim(tiles(partition.bound, pieces), f"the pieces of {partition.name} tile it: {pieces}")
            names = {self.partitioner.name(_TABLE.name, piece) for piece in pieces}
            _claim(len(names) == len(pieces), "pieces have different names")
            same = isinstance(partition.bound, DefaultBound)
            _claim(same or partition.name not in names, "no piece has the name of what it is a piece of")

    def test_what_was_split_can_be_merged(self) -> None:
        for partition, pieces in self._splits():
            if isinstance(partition.bound, DefaultBound):
                continue
            parts = [Partition(self.partitioner.name(_TABLE.name, piece), piece) for piece in pieces]
            merged = self.partitioner.merge(parts)
            _claim(
                not isinstance(merged, Problems), f"the pieces of {partition.name} make it again: {merged}"
            )
            _claim(
                not isinstance(merged, Problems) and tiles(merged, [partition.bound]),
                f"and nothing else: {merged}",
            )

    def test_nothing_is_due_after_a_split(self) -> None:
        for profile in self.profiles:
            for moment in self.moments:
                whole = self.partitioner.initial(_TABLE.name, profile, moment)
                for partition in whole[:3]:
                    pieces = self.partitioner.split(partition, Profile(), moment, {})
                    if isinstance(pieces, Problems):
                        continue
                    parts = [Partition(self.partitioner.name(_TABLE.name, piece), piece) for piece in pieces]
                    rest = [other for other in whole if other != partition]
                    due = self.partitioner.due(_TABLE.name, (*rest, *parts), moment, profile)
                    _claim(not due.create and not due.conflicts, f"the pieces of {partition.name} do for it")

    def test_one_partition_is_no_merger(self) -> None:
        for partitions in self._all():
            _claim(
                isinstance(self.partitioner.merge(partitions[:1]), Problems), "two partitions at least merge"
            )

    def test_an_unknown_way_to_split_is_a_problem(self) -> None:
        moment = self.moments[0]
        first = self.partitioner.initial(_TABLE.name, self.profiles[0], moment)[0]
        answer = self.partitioner.split(first, Profile(), moment, {"no_such_option": 1})
        _claim(isinstance(answer, Problems) and bool(answer.found), "split answers with Problems")

    def test_its_own_partitions_are_fine(self) -> None:
        for partitions in self._all():
            for partition in partitions[:3]:
                others = [other for other in partitions if other != partition]
                said = self.partitioner.lint(_TABLE.name, partition, others)
                _claim(isinstance(partition.bound, DefaultBound) or not said, f"{partition.name}: {said}")

    def test_a_partition_in_the_way_is_told_of(self) -> None:
        for partitions in self._all():
            first = partitions[0]
            twice = Partition("somebody_s", first.bound)
            _claim(
                bool(self.partitioner.lint(_TABLE.name, twice, partitions)), f"{first.name} is there already"
            )

    def test_what_is_wanted_is_not_past(self) -> None:
        for profile in (p for p in self.profiles if p == Profile()):
            for moment in self.moments:
                partitions = self.partitioner.initial(_TABLE.name, profile, moment)
                past = self.partitioner.past(partitions, moment, profile)
                _claim(not past, f"a table is not born with {past[:1]}")

    def test_a_query_of_all_is_told_how_to_prune(self) -> None:
        for partitions in self._all():
            plan = [{"Plan": {"Plans": [{"Relation Name": partition.name} for partition in partitions]}}]
            pruning = self.partitioner.explain(plan, partitions)
            _claim(not pruning.pruned and bool(pruning.advice), "who reads all is told what leaves some out")

    def check_on_server(self, execute: Callable[[str], Sequence[Sequence[object]]], columns: str) -> None:
        """Make the partitions of every profile and moment, in a transaction of the caller's.

        Args:
            execute: runs one statement and answers its rows; the caller rolls back.
            columns: of the table, as SQL.
        """
        key = ", ".join(f'"{name}"' for name in self.partitioner.key)
        table = QualifiedName("contract_table")
        for partitions in self._all():
            execute(f"CREATE TABLE {table.full} ({columns}) PARTITION BY {self.partitioner.method} ({key})")
            for partition in partitions:
                leaf = QualifiedName(partition.name)
                execute(f"CREATE TABLE {leaf.full} ({columns})")
                check = check_sql(partition.bound, self.partitioner.key, table)
                if check is not None:
                    execute(f"ALTER TABLE {leaf.full} ADD CHECK ({check})")
                execute(f"ALTER TABLE {table.full} ATTACH PARTITION {leaf.full} {bound_sql(partition.bound)}")
            execute(f"DROP TABLE {table.full}")

    def _splits(self) -> list[tuple[Partition, Sequence[Bound]]]:
        """Partitions that can be split, adopted ones among them, and their pieces."""
        found: list[tuple[Partition, Sequence[Bound]]] = []
        for profile in self.profiles:
            for moment in self.moments:
                whole = list(self.partitioner.initial(_TABLE.name, profile, moment))[:3]
                adopted = self.partitioner.adopt(profile, moment)
                if not isinstance(adopted, NotAdopted):
                    whole.append(Partition(self.partitioner.name(_TABLE.name, adopted), adopted))
                for partition in whole:
                    pieces = self.partitioner.split(partition, profile, moment, {})
                    if not isinstance(pieces, Problems):
                        found.append((partition, pieces))
        return found

    def _all(self) -> list[tuple[Partition, ...]]:
        return [
            self.partitioner.initial(_TABLE.name, profile, moment)
            for profile in self.profiles
            for moment in self.moments
        ]


def _holds(bound: RangeBound, value: Value | None) -> bool:
    if value is None:
        return True
    above = bound.lower is None or not less(value, bound.lower)
    return above and (bound.upper is None or less(value, bound.upper))


def _claim(kept: bool, claim: str) -> None:
    # Not `assert`: the suite is published and must hold under `python -O` as well.
    if not kept:
        raise AssertionError(f"the contract says: {claim}")
