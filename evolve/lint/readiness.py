"""Whether a server is ready for pending revisions: what must be mended before, what is worth a look, and how.

fails     the upgrade would stop, wait in vain, fill the disk, or stop the application for too long
warns     it may, or it cannot be told
passes    looked at, and in order
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal

from evolve.lint.facts import Facts
from evolve.lint.forecast import Forecast
from evolve.lint.history import NEWEST_SUPPORTED, OLDEST_SUPPORTED
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.privileges import Privilege
from evolve.values import dataclass

Verdict = Literal["fails", "warns", "passes"]

MB = 1_000_000
_MOST_TRANSACTIONS = 2**31


@dataclass(frozen=True, slots=True)
class Session:
    """A transaction that is open; of one that is prepared, `pid` is None and `what` its name.

    Args:
        seconds: since it began.
        what: its statement, or the name of the prepared transaction.
        here: in the connected database.
        snapshot: it sees an old state of the rows, which an index that is built CONCURRENTLY waits for.
        holds: table → the locks that it holds on it.
        kind: "client backend", "autovacuum worker", "prepared transaction", …
    """

    pid: int | None
    user: str
    application: str
    state: str
    seconds: float
    what: str
    kind: str = "client backend"
    here: bool = True
    snapshot: bool = False
    holds: Mapping[QualifiedName, frozenset[LockMode]] = field(default_factory=dict)

    def __str__(self) -> str:
        age = f"for {self.seconds:,.0f} s"
        if self.pid is None:
            return f'prepared transaction "{self.what}" ({self.user}, {age})'
        who = f'{self.user or "no user"}, "{self.application or self.kind}"'
        return f"pid {self.pid} ({who}, {self.state or 'active'} {age}): {self.what or 'no query'}"

    @property
    def end(self) -> str:
        """The statement that ends it."""
        if self.pid is None:
            return "ROLLBACK PREPARED '" + self.what.replace("'", "''") + "', or COMMIT PREPARED it"
        return f"SELECT pg_terminate_backend({self.pid})"


@dataclass(frozen=True, slots=True)
class Slot:
    """`retained`: bytes of WAL that are kept for it; None where nobody knows."""

    name: str
    active: bool
    retained: int | None
    status: str


@dataclass(frozen=True, slots=True)
class Server:
    """A server at one moment, as the connected role sees it.

    Args:
        version: major.
        read_only: its transactions may not write, for a reason that `read_only_because` tells.
        missing: of the privileges that were asked about, those that the role has not.
        sessions: open transactions of others.
        hidden: sessions of others that the role may not look at.
        freezing: tables that autovacuum keeps from wraparound at the moment.
        transactions_left: until the database stops taking writes.
        freeze_age: transactions after which autovacuum freezes a table unasked.
        lag: bytes of WAL that the slowest standby has yet to replay; None where that is not to be seen.
        tablespaces: table → the tablespace that its rows lie in.
        may_end: the role may end sessions of others.
        all_tables: names of the publications of all tables.
        sent: the tables of evolve's own that are published, by whatever publication.
    """

    version: int
    role: str
    read_only_because: str | None = None
    missing: tuple[Privilege, ...] = ()
    sessions: tuple[Session, ...] = ()
    hidden: int = 0
    freezing: frozenset[QualifiedName] = frozenset()
    transactions_left: int = _MOST_TRANSACTIONS
    freeze_age: int = 200_000_000
    slots: tuple[Slot, ...] = ()
    lag: int | None = 0
    tablespaces: Mapping[QualifiedName, str] = field(default_factory=dict)
    may_end: bool = True
    all_tables: tuple[str, ...] = ()
    sent: tuple[QualifiedName, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """`[tool.evolve.preflight]`.

    Args:
        longest_lock: seconds that readers or writers may wait for one statement.
        longest_transaction: seconds from which on an open transaction is an old one.
        retained_wal: megabytes that a replication slot may keep.
        replica_lag: megabytes that a standby may be behind.
        transactions_left: that must be left before wraparound.
        disk_free: tablespace → bytes; "" is any that is not named.
    """

    longest_lock: float = 2.0
    longest_transaction: float = 60.0
    retained_wal: int = 10_000
    replica_lag: int = 1_000
    transactions_left: int = 100_000_000
    disk_free: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `fix` is there where it does not pass."""

    name: str
    verdict: Verdict
    says: str
    fix: str | None = None


def check(
    server: Server, forecasts: Sequence[Forecast], facts: Facts, limits: Limits, *, unread: Sequence[str] = ()
) -> tuple[Check, ...]:
    """Hold the server against what is to run on it; one entry at least for everything that is looked at.

    Args:
        unread: revisions that could not be read to their end.
    """
    touched = _touched(forecasts)
    found: list[Check] = []
    for name, checks in (
        ("version", _version(server)),
        ("writable", _writable(server)),
        ("privileges", _privileges(server)),
        ("locks", _locks(forecasts, limits)),
        ("unread", _unread(forecasts, unread)),
        ("disk", _disk(server, forecasts, limits)),
        ("transactions", _transactions(server, forecasts, touched, limits)),
        ("autovacuum", _autovacuum(server, touched)),
        ("wraparound", _wraparound(server, limits)),
        ("replication", _replication(server, limits)),
        ("publications", _publications(server)),
        ("indexes", _indexes(facts, touched)),
    ):
        told = list(checks)
        found += told or [Check(name, "passes", _PASSES[name])]
    return tuple(found)


_PASSES = {
    "version": "the server's version is one that evolve is tested on",
    "writable": "the server takes writes",
    "privileges": "the role may do all that the statements need, as far as they were read",
    "locks": "no statement keeps readers or writers waiting for longer than the limit",
    "unread": "every statement was read",
    "disk": "there is room for what is written anew",
    "transactions": "no old transaction is in the way",
    "autovacuum": "autovacuum does not keep a table from wraparound that is to be changed",
    "wraparound": "the database is far from wraparound",
    "replication": "slots and standbys keep up",
    "publications": "no publication sends what evolve keeps for itself",
    "indexes": "no index of the tables is invalid",
}


def _touched(forecasts: Iterable[Forecast]) -> dict[QualifiedName, frozenset[LockMode]]:
    """The tables that are changed, with the locks that are asked for; not those whose rows alone are."""
    found: dict[QualifiedName, frozenset[LockMode]] = {}
    for each in forecasts:
        for name, mode in each.locks.items():
            if mode >= LockMode.SHARE_UPDATE_EXCLUSIVE:
                asked = {mode}
                if each.concurrently:  # it waits for writers before it builds, for everybody before it drops
                    asked.add(LockMode.SHARE if name in each.builds else LockMode.ACCESS_EXCLUSIVE)
                found[name] = found.get(name, frozenset()) | asked
    return found


def _version(server: Server) -> Iterator[Check]:
    if server.version < OLDEST_SUPPORTED:
        yield Check(
            "version",
            "fails",
            f"the server is PostgreSQL {server.version}; locks are known from {OLDEST_SUPPORTED} on",
            f"upgrade the server to {OLDEST_SUPPORTED} or newer, or use plain Alembic",
        )
    elif server.version > NEWEST_SUPPORTED:
        yield Check(
            "version",
            "warns",
            f"the server is PostgreSQL {server.version}, which is newer than what evolve knows: {NEWEST_SUPPORTED}",
            "upgrade evolve: pip install --upgrade alembic-evolve",
        )


def _writable(server: Server) -> Iterator[Check]:
    if server.read_only_because is not None:
        yield Check(
            "writable",
            "fails",
            f"no transaction may write: {server.read_only_because}",
            "name the primary, and a role that may write, in --database-url",
        )


def _privileges(server: Server) -> Iterator[Check]:
    for privilege in server.missing:
        yield Check("privileges", "fails", _lacks(privilege, server.role), _grant(privilege, server.role))
    if server.hidden:
        yield Check(
            "privileges",
            "warns",
            f"role {server.role} does not see what {server.hidden} sessions of others do",
            f"GRANT pg_read_all_stats TO {_word(server.role)}, so that whoever is in the way can be named",
        )
    if not server.may_end:
        yield Check(
            "privileges",
            "warns",
            f"role {server.role} may not end sessions of others that are in the way",
            f"GRANT pg_signal_backend TO {_word(server.role)}, or have somebody at hand who may",
        )


def _lacks(privilege: Privilege, connected: str) -> str:
    role = privilege.role or connected
    match privilege.right, privilege.kind:
        case (("OWNER" | "DROP"), _):
            return f"role {role} does not own {privilege.kind} {privilege.name.plain}"
        case "MEMBER", _:
            return f"role {role} may not become {privilege.name.name}"
        case "CREATE", "extension":
            return f"role {role} may not create extension {privilege.name.name}"
        case right, "database":
            return f"role {role} has no {right} on the database"
        case right, "schema":
            return f"role {role} has no {right} on schema {privilege.name.name}"
        case right, kind:
            return f"role {role} has no {right} on {kind} {privilege.name.plain}"


def _grant(privilege: Privilege, connected: str) -> str:
    role = _word(privilege.role or connected)
    match privilege.right, privilege.kind:
        case (("OWNER" | "DROP"), kind):
            name = _word(privilege.name.name) if kind == "schema" else str(privilege.name)
            return (
                f"GRANT the role that owns {name} TO {role}, or ALTER {kind.upper()} {name} OWNER TO {role}"
            )
        case "MEMBER", _:
            return f"GRANT {_word(privilege.name.name)} TO {role}"
        case "CREATE", "extension":
            return f"let a superuser run CREATE EXTENSION {_word(privilege.name.name)} before"
        case right, "database":
            return f"GRANT {right} ON DATABASE … TO {role}"
        case right, "schema":
            return f"GRANT {right} ON SCHEMA {_word(privilege.name.name)} TO {role}"
        case right, _:
            return f"GRANT {right} ON {privilege.name} TO {role}"


def _word(name: str) -> str:
    return str(QualifiedName(name))


def _locks(forecasts: Sequence[Forecast], limits: Limits) -> Iterator[Check]:
    for each in forecasts:
        if each.blocking and each.held is not None and each.held > limits.longest_lock:
            table, mode = max(each.blocking.items(), key=lambda item: item[1])
            yield Check(
                "locks",
                "fails",
                f"revision {each.revision} at {each.place.file.name}:{each.place.line} would stop {mode.blocks} "
                f"of {table.plain} for about {_seconds(each.held)}; the limit is {_seconds(limits.longest_lock)}",
                f"evolve lint {each.revision} says how it is done without; or upgrade in a window for maintenance, "
                "and raise longest_lock for it",
            )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _unread(forecasts: Sequence[Forecast], unread: Sequence[str]) -> Iterator[Check]:
    for revision in unread:
        yield Check(
            "unread",
            "warns",
            f"revision {revision} could not be read to its end: it may do more than is told here",
            f"evolve lint {revision} says why",
        )
    for each in forecasts:
        if each.opaque:
            yield Check(
                "unread",
                "warns",
                f"revision {each.revision} at {each.place.file.name}:{each.place.line} runs code that is not read: "
                f"{_first(each.sql)}",
                "try it on a copy of the database",
            )


def _first(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= 80 else text[:79] + "…"


def needed(server: Server, forecasts: Sequence[Forecast]) -> dict[str, int]:
    """Tablespace → bytes that the revisions take at the most at one moment, one transaction's files at a time."""
    lasting: dict[str, int] = {}
    most: dict[str, int] = {}
    passing: dict[tuple[str, str, int | None], int] = {}
    for number, each in enumerate(forecasts):
        if not each.bytes:
            continue
        tables = each.rewrites or each.builds or tuple(each.locks)
        place = server.tablespaces.get(tables[0], "pg_default") if tables else "pg_default"
        one = (place, each.revision, each.transaction if each.transaction is not None else -number)
        passing[one] = passing.get(one, 0) + each.bytes - each.lasting
        lasting[place] = lasting.get(place, 0) + each.lasting
        most[place] = max(most.get(place, 0), lasting[place] + passing[one])
    return most


def _disk(server: Server, forecasts: Sequence[Forecast], limits: Limits) -> Iterator[Check]:
    for place, most in sorted(needed(server, forecasts).items()):
        # All of it is written to WAL as well, which at worst is not recycled meanwhile.
        bytes_ = 2 * most
        free = limits.disk_free.get(place, limits.disk_free.get(""))
        words = f"the revisions need up to {bytes_ / MB:,.0f} MB in {place}, their WAL counted"
        if free is None and bytes_ > 100 * MB:
            yield Check(
                "disk",
                "warns",
                f"{words}; how much is free cannot be asked in SQL",
                f"say what df says: --disk-free {place}=20GB",
            )
        elif free is not None and bytes_ > free:
            yield Check(
                "disk", "fails", f"{words}; {free / MB:,.0f} MB are free", f"make room, or enlarge {place}"
            )


def _transactions(
    server: Server,
    forecasts: Sequence[Forecast],
    touched: Mapping[QualifiedName, frozenset[LockMode]],
    limits: Limits,
) -> Iterator[Check]:
    waits = any(each.concurrently for each in forecasts)
    for session in server.sessions:
        if session.seconds < limits.longest_transaction or session.kind == "autovacuum worker":
            continue
        in_the_way = sorted(
            name.plain
            for name, modes in session.holds.items()
            if any(mode.conflicts_with(asked) for mode in modes for asked in touched.get(name, ()))
        )
        if in_the_way:
            says = f"{session} holds a lock on {', '.join(in_the_way)}, which is to be changed"
            yield Check("transactions", "fails", says, session.end)
        elif waits and session.here and session.snapshot:
            says = (
                f"{session} is older than an index that is built or dropped CONCURRENTLY, which waits for it"
            )
            yield Check("transactions", "fails", says, session.end)
        else:
            yield Check(
                "transactions",
                "warns",
                f"{session} has been open for long: no row that it may see is vacuumed",
                f"{session.end}, if nobody needs it",
            )


def _autovacuum(server: Server, touched: Iterable[QualifiedName]) -> Iterator[Check]:
    for table in sorted(server.freezing.intersection(touched)):
        yield Check(
            "autovacuum",
            "fails",
            f"autovacuum keeps {table.plain} from wraparound, and gives way to nobody",
            "let it end: SELECT * FROM pg_stat_progress_vacuum shows how far it is",
        )


def _wraparound(server: Server, limits: Limits) -> Iterator[Check]:
    left = server.transactions_left
    if left < limits.transactions_left:
        yield Check(
            "wraparound",
            "fails",
            f"{left:,} transactions are left before the database stops taking writes; the limit is "
            f"{limits.transactions_left:,}",
            "end old transactions and slots, then VACUUM (FREEZE) the tables of the greatest age(relfrozenxid)",
        )
    elif _MOST_TRANSACTIONS - left > 2 * server.freeze_age:
        yield Check(
            "wraparound",
            "warns",
            f"the oldest rows are {_MOST_TRANSACTIONS - left:,} transactions old, twice autovacuum_freeze_max_age: "
            "autovacuum falls behind, and its runs against wraparound give way to nobody",
            "VACUUM (FREEZE) the tables of the greatest age(relfrozenxid) first",
        )


def _replication(server: Server, limits: Limits) -> Iterator[Check]:
    for slot in server.slots:
        kept = slot.retained or 0
        if slot.status == "lost":
            says = f'replication slot "{slot.name}" has lost WAL that its reader needs'
            yield Check("replication", "warns", says, "make its reader anew, and drop the slot")
        elif kept > limits.retained_wal * MB:
            says = (
                f'replication slot "{slot.name}"{"" if slot.active else ", which nobody reads,"} keeps '
                f"{kept / MB:,.0f} MB of WAL; the limit is {limits.retained_wal:,}"
            )
            name = slot.name.replace("'", "''")
            yield Check(
                "replication",
                "warns" if slot.active else "fails",
                says,
                "see why its reader is behind"
                if slot.active
                else f"start its reader, or SELECT pg_drop_replication_slot('{name}')",
            )
        elif not slot.active:
            says = f'replication slot "{slot.name}" has no reader: all WAL that is written from now on is kept for it'
            yield Check("replication", "warns", says, "start its reader, or drop the slot")
    if server.lag is not None and server.lag > limits.replica_lag * MB:
        yield Check(
            "replication",
            "warns",
            f"a standby has {server.lag / MB:,.0f} MB of WAL to replay; the limit is {limits.replica_lag:,}",
            "let it catch up: what is written now comes on top",
        )


def _publications(server: Server) -> Iterator[Check]:
    sent = ", ".join(table.plain for table in server.sent)
    narrow = "let the publication name its tables, or from PostgreSQL 15 on its schemas: FOR TABLES IN SCHEMA"
    if server.all_tables:
        own = f"now {sent} among them" if sent else "those that evolve makes in schema evolve among them"
        yield Check(
            "publications",
            "warns",
            f"publication {', '.join(server.all_tables)} sends all tables, {own}; a subscriber stops at the first row "
            "of one that it lacks",
            f"{narrow}; or make new tables on the subscribers first",
        )
    elif sent:
        yield Check(
            "publications",
            "warns",
            f"a publication sends {sent}; a subscriber stops at the first row of one that it lacks",
            narrow,
        )


def _indexes(facts: Facts, touched: Iterable[QualifiedName]) -> Iterator[Check]:
    for table in sorted(touched):
        relation = facts.relations.get(table)
        if relation is None or relation.kind == "partitioned table":
            continue  # an index of the latter is invalid until each partition has its part
        for index in relation.indexes:
            if not index.valid:
                yield Check(
                    "indexes",
                    "warns",
                    f"index {index.name.plain} of {table.plain} is invalid: it costs writes and serves no query",
                    f"DROP INDEX CONCURRENTLY {index.name}, or REINDEX INDEX CONCURRENTLY {index.name}",
                )
