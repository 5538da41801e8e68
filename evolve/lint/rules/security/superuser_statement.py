"""EV634: a statement that only a superuser may run, or that reaches beyond the database."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

_STATEMENTS = frozenset(
    {
        "ALTER SYSTEM",
        "CREATE ACCESS METHOD",
        "CREATE EVENT TRIGGER",
        "ALTER EVENT TRIGGER",
        "DROP EVENT TRIGGER",
        "CREATE FOREIGN DATA WRAPPER",
        "CREATE OP CLASS",
        "CREATE OP FAMILY",
        "CREATE SUBSCRIPTION",
        "CREATE TABLESPACE",
        "LOAD",
    }
)
_NOT_IN_A_TRANSACTION = ("ALTER SYSTEM", "CREATE TABLESPACE")
_OF_THE_SERVER = ("CREATE ROLE", "DROP ROLE")
_STRONG = ("superuser", "isreplication", "bypassrls")
_LANGUAGES = frozenset({"c", "internal", "plperlu", "plpython2u", "plpython3u", "plpythonu", "pltclu"})
# Those that come with PostgreSQL and do not say "trusted" (read from the control files of 15), and PostGIS.
_EXTENSIONS = frozenset(
    {
        "adminpack",
        "amcheck",
        "autoinc",
        "bloom",
        "dblink",
        "dict_xsyn",
        "earthdistance",
        "file_fdw",
        "insert_username",
        "intagg",
        "moddatetime",
        "old_snapshot",
        "pageinspect",
        "pg_buffercache",
        "pg_freespacemap",
        "pg_prewarm",
        "pg_stat_statements",
        "pg_surgery",
        "pg_visibility",
        "pg_walinspect",
        "pgrowlocks",
        "pgstattuple",
        "plperlu",
        "plpython3u",
        "pltclu",
        "postgis",
        "postgres_fdw",
        "refint",
        "sslinfo",
        "xml2",
    }
)


class SuperuserStatement(Rule):
    id = "EV634"
    name = "superuser-statement"
    severity = Severity.WARNING
    looks_at = (op.Other, op.Copy, op.CreateFunction, op.ChangePublication)
    peers = ("squawk:ban-alter-system-options",)
    why = (
        "it works on a developer's machine and is refused in production, where migrations do not run as a superuser; "
        "what belongs to the server is set up with the server"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        del history
        what = _needs(step.operation)
        if what is not None:
            inside = step.transaction is not None
            never = isinstance(step.operation, op.Other) and step.operation.kind in _NOT_IN_A_TRANSACTION
            refused = "; PostgreSQL refuses it inside a transaction, too" if never and inside else ""
            yield self.finding(step, f"{what}{refused}", fails=never and inside)


def _needs(operation: op.Operation) -> str | None:
    match operation:
        case op.Other(kind=kind) if kind in _STATEMENTS:
            return f"{kind} needs a superuser"
        case op.Other(kind="CREATE EXTENSION", target=target, options=options):
            # IF NOT EXISTS meets the one that the superuser made, and asks for no rights then.
            untrusted = target is not None and target.name in _EXTENSIONS and "if not exists" not in options
            return f'the extension "{target.name}" needs a superuser' if untrusted and target else None
        case op.Other(kind="CREATE ROLE" | "ALTER ROLE" as kind, options=options) if options & {*_STRONG}:
            return f"{kind} with {', '.join(sorted(options & {*_STRONG}))} needs a superuser"
        case op.Other(kind=kind) if kind in _OF_THE_SERVER:
            return f"{kind} needs the right to make roles, and is about the whole server"
        case op.Copy(server="program"):
            return "COPY … PROGRAM runs a command on the server's machine, which needs a superuser"
        case op.Copy(server="file"):
            return "COPY with a file reads or writes on the server's machine, which needs a superuser"
        case op.CreateFunction(function=function, language=language) if language in _LANGUAGES:
            return f'a function in {language} needs a superuser: "{function.plain}"'
        case op.ChangePublication(publication=name, all_tables=True):
            return f'the publication "{name}" FOR ALL TABLES needs a superuser'
        case _:
            return None
