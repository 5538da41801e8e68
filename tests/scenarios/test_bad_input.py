"""Every command with what people get wrong: a clear error, its exit status, and nothing changed by it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from support.bad_input import CHANGE, COMMANDS, Ground
from support.command_line import UNPRIVILEGED, evolve

from evolve import cli
from evolve.plan import recipes
from evolve.postgres import scratch

pytestmark = pytest.mark.server

# Where a project, or a database, is not asked for.
WITHOUT_PROJECT = {
    name for name in COMMANDS if name.startswith(("backfill", "facts", "partition", "registry"))
} - {"backfill run CHANGE"}
WITHOUT_DATABASE = {"init", "lint", "upgrade --sql"}


@pytest.fixture(scope="module")
def ground(scratch_server: scratch.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Shared: what is refused changes nothing."""
    url = scratch_server.create_database()
    made = Ground.prepare(tmp_path_factory.mktemp("ground") / "project", url)
    yield made
    made.connection.close()
    scratch_server.drop_database(url)


@pytest.fixture
def broken(ground: Ground, tmp_path: Path) -> Ground:
    """A copy of the project, to be broken, on the shared database."""
    return ground.copy(tmp_path / "project")


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, (*path, name))
    else:
        yield " ".join(path)


def test_no_command_is_left_out() -> None:
    # Those that take neither project nor database, the demo, which brings its own, and what serves until it is stopped.
    others = {"explain", "plan list", "plugins", "rules new", "lsp", "completion", "demo", "backfill list"}
    others.add("dashboard")
    # Recipes differ in their arguments alone, which test_recipe_arguments.py makes up; a few stand here for all.
    others |= {f"plan {kind}" for kind in recipes.kinds()}
    covered = {" ".join(word for word in arguments) for arguments in COMMANDS.values()}
    missed = [
        leaf
        for leaf in leaves(cli.evolve)
        if leaf not in others and not any(arguments.startswith(leaf) for arguments in covered)
    ]
    assert missed == []


# -- usage --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plna",), "there is no command 'plna'; did you mean 'plan'"),
        (("lint", "--nonsense"), "no such option '--nonsense'"),
        (("plan", "rename-colum"), "'rename-colum'"),
        (("advance",), "missing argument 'CHANGE'"),
        (("upgrade", "--retries", "many"), "'many' is not a valid integer"),
        (("status", "--format", "xml"), "'xml' is not one of 'text', 'json'"),
        (("-C", "nowhere", "lint"), "'nowhere' does not exist"),
        (("--config", "nowhere.toml", "lint"), '"nowhere.toml" cannot be read'),
        (("explain", "EV999"), '"EV999"'),
        (("upgrade", "nowhere"), 'cannot go to "nowhere"'),
        (("downgrade", "nowhere"), 'cannot go to "nowhere"'),
        (("lint", "nowhere:heads"), 'there is no revision "nowhere"'),
        (("advance", "../../etc/passwd"), 'there is no change "../../etc/passwd"'),
        (("status", "nothing_like_it"), 'there is no change "nothing_like_it"'),
        (("backfill", "run", "nothing_like_it"), '"nothing_like_it"'),
        (("backfill", "resume", "nothing_like_it"), '"nothing_like_it"'),
        (("backfill", "run", "users.email", "--set", "name", "--duty", "7"), "--duty 7"),
        (("backfill", "set", "nothing_like_it", "duty=0.5"), '"nothing_like_it"'),
        (("backfill", "set", "users.email", "dutty=0.5"), 'did you mean "duty"?'),
        (("backfill", "set", "users.email", "target=30"), "a time with its unit"),
        (("backfill", "set", "users.email", "duty"), '"duty" says no value'),
        (("backfill", "throttle", "nothing_like_it"), '"nothing_like_it"'),
        (("backfill", "throttle", "users.email", "--for", "a while"), '"a while" is no duration'),
        (("backfill", "throttle", "users.email", "--duty", "1"), "--duty 1 does not work"),
        (("backfill", "throttle", "users.email", "--off", "--for", "1s"), "--off goes alone"),
        (("backfill", "explain", "nothing_like_it"), '"nothing_like_it"'),
        (("backfill", "approve", "nothing_like_it"), '"nothing_like_it"'),
        (("backfill", "run", "users.email", "--set", "name", "--key", "name"), "(name)"),
        (("dashboard", "--address", "0.0.0.0"), "can be reached from other machines"),  # noqa: S104
        (("dashboard", "--address", "192.0.2.1", "--i-know"), "it is no address of this machine"),
        (("dashboard", "--port", "65536"), "65536"),
        (("dashboard", "--port", "0", "--database-url", "postgresql://127.0.0.1:1/shop"), "cannot connect"),
        (("partition", "convert", "orders"), '"orders"'),
        (("partition", "convert", "orders", "--method", "rnage", "--key", "at"), 'did you mean "range"?'),
        (("partition", "finish", "orders"), '"orders"'),
        (("partition", "drain", "orders", "--resume"), '"orders"'),
        (("partition", "drain", "orders", "--run", "--resume"), "--resume and --run do not go together"),
        (("partition", "undo", "orders"), "there is nothing to undo"),
        (("partition", "plan", "orders"), 'how "orders" is to be partitioned is not said'),
        (("partition", "undo", "orders", "--run", "--resume"), "--resume and --run do not go together"),
        (("partition", "split", "orders"), "which partition"),
        (("partition", "merge", "orders", "orders_a", "orders_a"), "two at least"),
        (("partition", "rehash", "orders"), "how many partitions"),
        (("partition", "archive", "orders"), "where to archive is not said"),
        (
            ("partition", "archive", "orders", "--command", "cat"),
            "--command does not work without --read-back",
        ),
        (("partition", "restore", "orders", "orders_2020"), 'no archive of "orders_2020" on record'),
    ],
)
def test_wrong_usage(ground: Ground, arguments: tuple[str, ...], says: str) -> None:
    ground.refused(*arguments, says=says)


@pytest.mark.parametrize("name", ["upgrade", "partition status"])
def test_errors_are_the_same_whatever_the_format_of_results(ground: Ground, name: str) -> None:
    url = ("--database-url", "postgresql://127.0.0.1:1/shop")
    as_text = ground.refused(*COMMANDS[name], *url, says="cannot connect")
    assert ground.refused(*COMMANDS[name], *url, "--format", "json", says="cannot connect") == as_text


# -- project ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_PROJECT])
def test_no_alembic_project_here(ground: Ground, tmp_path: Path, name: str) -> None:
    done = evolve(*COMMANDS[name], cwd=tmp_path, env={"EVOLVE_DATABASE_URL": ground.url})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no Alembic project here")
    assert "fix: " in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_project_nearby_is_named(ground: Ground) -> None:
    done = evolve("lint", cwd=ground.root.parent)
    assert f"evolve -C {ground.root}" in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "has no script_location"),
        (b"script_location = migrations\n", "alembic.ini:1"),
        (b"[alembic]\nscript_location = nowhere\n", 'script_location "nowhere" leads nowhere'),
        (b"[alembic]\nscript_location = %(nope)s\n", "'nope'"),
        (b"\xff\xfe\x00", "alembic.ini"),
    ],
)
def test_broken_alembic_ini(broken: Ground, text: bytes, says: str) -> None:
    (broken.root / "alembic.ini").write_bytes(text)
    broken.refused("upgrade", says=says)


# The others need no single head.
@pytest.mark.parametrize(
    "name",
    [
        *("plan rename-column", "plan set-not-null", "plan add-index"),
        *("advance", "status", "upgrade", "upgrade --dry-run", "upgrade --sql"),
    ],
)
def test_two_heads(broken: Ground, name: str) -> None:
    broken.add("other.py", "revision = 'other'\ndown_revision = 'one'\ndef upgrade(): pass\n")
    broken.refused(*COMMANDS[name], says=("head", "other" if name != "upgrade --sql" else "heads"))


REVISION = "revision = 'next'\ndown_revision = '{head}'\n"
BODY = "def upgrade(): pass\ndef downgrade(): pass\n"


BROKEN_REVISIONS: dict[str, tuple[str | bytes, str]] = {
    "syntax error": (REVISION + BODY + "op.add_column(\n", "next.py:5"),
    "raises": (REVISION + BODY + "raise RuntimeError('no luck')\n", "no luck"),
    "exits": (REVISION + BODY + "raise SystemExit(0)\n", "next.py:5"),
    "imports what is not there": (REVISION + "import no_such_module\n" + BODY, "no_such_module"),
    "no UTF-8": (REVISION.encode() + b"x = '\xff'\n", "next.py"),
    "no revision": (BODY, "next.py"),
    "no down_revision": ("revision = 'next'\n" + BODY, "next.py"),
    "dangling": (REVISION.replace("{head}", "nowhere") + BODY, 'builds on "nowhere"'),
    "circle": (REVISION.replace("{head}", "next") + BODY, "next"),
    "twice": (REVISION.replace("'next'", "'one'") + BODY, 'two files are revision "one"'),
}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(("upgrade", what) for what in BROKEN_REVISIONS),
        *(
            ("plan rename-column", what)
            for what in ("syntax error", "raises", "no UTF-8", "no revision", "twice")
        ),
        *((name, "raises") for name in ("upgrade --dry-run", "upgrade --sql", "downgrade")),
    ],
)
def test_broken_revision_file(broken: Ground, name: str, what: str) -> None:
    text, says = BROKEN_REVISIONS[what]
    broken.add("next.py", text)
    broken.refused(*COMMANDS[name], says=says)


def test_link_that_leads_nowhere(broken: Ground) -> None:
    (broken.versions / "next.py").symlink_to(broken.root / "gone.py")
    for name in ("plan rename-column", "upgrade"):
        broken.refused(*COMMANDS[name], says="next.py")


def test_database_at_a_revision_that_nobody_knows(broken: Ground) -> None:
    (expand,) = broken.versions.glob("*_expand_*.py")
    head = broken.head
    expand.unlink()
    broken.manifest.unlink()
    for name in ("lint --unapplied", "upgrade", "upgrade --dry-run", "downgrade"):
        broken.refused(
            *COMMANDS[name], says=f'the database is at revision "{head}"' if "lint" in name else head
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1/0\n", "env.py:1"),
        ("def (:\n", "env.py:1"),
        ("import sys; sys.exit(3)\n", "env.py:1"),
        ("print('it runs nothing')\n", "env.py came to its end, but table alembic_version has not got"),
    ],
)
def test_broken_env_py(broken: Ground, text: str, says: str) -> None:
    broken.add("next.py", REVISION + BODY)
    (broken.root / "migrations" / "env.py").write_text(text)
    broken.refused("upgrade", says=says, started=True)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "${ unfinished", "<% 1/0 %>"),
        "from alembic import op\ndef upgrade():\n    ${upgrades}\n\ndef downgrade():\n    ${downgrades}\n",
    ],
)
def test_broken_template(broken: Ground, text: str | None) -> None:
    template = broken.root / "migrations" / "script.py.mako"
    template.unlink()
    if text is not None:
        template.write_text(text)
    broken.refused(*COMMANDS["plan rename-column"], says="script.py.mako")


# -- files that cannot be written -----------------------------------------------------------------------------------
def test_a_file_where_manifests_should_lie(broken: Ground) -> None:
    broken.manifest.unlink()
    broken.manifest.parent.rmdir()
    broken.manifest.parent.write_text("in the way")
    said = broken.refused(*COMMANDS["plan rename-column"], says="is a file, not a directory")
    assert str(broken.manifest.parent) in said


@pytest.mark.parametrize("name", ["plan rename-column", "advance", "upgrade", "lint", "status"])
def test_a_file_where_revisions_should_lie(broken: Ground, name: str) -> None:
    broken.versions.rename(broken.root / "elsewhere")
    broken.versions.write_text("in the way")
    broken.refused(*COMMANDS[name], says=(str(broken.versions), "is not a directory"))


@pytest.mark.skipif(
    bool(UNPRIVILEGED) and shutil.which("setpriv") is None, reason="root may write everywhere, and no setpriv"
)
@pytest.mark.parametrize("name", ["plan rename-column", "advance"])
@pytest.mark.parametrize("place", ["versions", "evolve"])
def test_a_folder_that_may_not_be_written(broken: Ground, name: str, place: str) -> None:
    folder = broken.root / "migrations" / place
    folder.chmod(0o555)
    try:
        broken.refused(*COMMANDS[name], says=(str(folder), "Permission denied"), through=UNPRIVILEGED)
    finally:
        folder.chmod(0o755)


def test_advance_keeps_nothing_in_the_database_where_it_cannot_write(broken: Ground) -> None:
    broken.versions.joinpath("next.py").write_text(
        REVISION.replace("{head}", broken.head) + "raise RuntimeError\n"
    )
    broken.refused("advance", CHANGE, says="next.py")


# -- database -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_DATABASE])
def test_server_that_is_down(ground: Ground, name: str) -> None:
    ground.refused(
        *COMMANDS[name],
        *("--database-url", "postgresql://me:hunter2@127.0.0.1:1/shop"),
        says="cannot connect to postgresql://me@127.0.0.1:1/shop: ",
    )


def unreachable(url: str) -> dict[str, tuple[str, str]]:
    """What is wrong → (URL, words of the error)."""
    place = urlsplit(url).netloc.rpartition("@")[2]
    return {
        "password": (f"postgresql://postgres:hunter2@{place}/postgres", "password authentication failed"),
        "database": (f"{url}_gone", "does not exist"),
        "host": ("postgresql://me:hunter2@no-such-host.invalid/shop", "no-such-host.invalid"),
        "nonsense": ("me:hunter2@127.0.0.1/shop", "cannot be read"),
        "role": (f"postgresql://nobody_like_it:hunter2@{place}/postgres", "nobody_like_it"),
    }


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(("upgrade", what) for what in unreachable("postgresql://x/y")),
        *((name, "password") for name in ("plan rename-column", "lint --unapplied", "partition status")),
        *((name, "database") for name in ("status", "backfill status")),
    ],
)
def test_database_that_cannot_be_reached(ground: Ground, name: str, what: str) -> None:
    url, says = unreachable(ground.url)[what]
    said = ground.refused(*COMMANDS[name], "--database-url", url, says=says)
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "name", ["upgrade", "status", "lint --unapplied", "backfill status", "partition status"]
)
def test_no_database_is_named(broken: Ground, name: str) -> None:
    ini = broken.root / "alembic.ini"
    ini.write_text("\n".join(line for line in ini.read_text().splitlines() if "sqlalchemy.url" not in line))
    if name == "status":  # it shows what the files say, and says so
        done = evolve("status", cwd=broken.root)
        assert (done.returncode, "no database is named" in done.stderr) == (0, True)
    else:
        broken.refused(*COMMANDS[name], says="no database is named")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", "rename-column", "people.name", "x", "--write"), 'no table "people"'),
        (("plan", "rename-column", "users.nmae", "x", "--write"), 'no column "nmae"'),
        (("plan", "rename-column", "users.email", "id", "--write"), '"id"'),
        (("plan", "set-not-null", "users.nmae", "--write"), 'no column "nmae"'),
        (("plan", "set-not-null", "users.email", "--fill", "nope(1)", "--write"), "nope"),
        (("plan", "set-not-null", "users.email", "--fill", "'a' FROM users", "--write"), "--fill"),
        (("plan", "set-not-null", "users.email", "--fill", "'a' WHERE false", "--write"), "--fill"),
        (("plan", "add-required-column", "users.email", "text", "--up", "''", "--write"), '"email"'),
        (("plan", "add-required-column", "users.x", "txet", "--up", "''", "--write"), '"txet"'),
        (("plan", "rename-column", "app.users.name", "x", "--write"), '"app.users"'),
        (("backfill", "run", "people.name", "--set", "'x'"), 'no table "people"'),
        (("backfill", "run", "users.nmae", "--set", "'x'"), 'no column "nmae"'),
        (("backfill", "run", "users.email", "--set", "nmae"), '"nmae"'),
        (("backfill", "run", "users.email", "--set", "$1"), "not one expression"),
        (("backfill", "run", "users.email", "--set", "name; DROP TABLE users"), "syntax error"),
        (("backfill", "run", "users.email", "--set", "name", "--where", "id = 1) OR (true"), "--where"),
        (("partition", "convert", "people", "--method", "range", "--key", "at"), '"people"'),
        (
            ("partition", "convert", "orders", "--method", "range", "--key", "ta", "--interval", "1 day"),
            '"ta"',
        ),
        (
            ("partition", "convert", "orders", "--method", "range", "--key", "at", "--interval", "1 dya"),
            "dya",
        ),
        (("partition", "premake", "people"), '"people"'),
        (("partition", "status", "people"), '"people"'),
        (("partition", "finish", "people"), '"people"'),
        (("partition", "drain", "people"), '"people"'),
        (("partition", "undo", "people"), '"people"'),
        (("partition", "adopt", "people"), '"people"'),
        (("partition", "plan", "people"), '"people"'),
        (("partition", "rehash", "people", "--modulus", "8"), '"people"'),
    ],
)
def test_what_is_named_is_not_there(ground: Ground, arguments: tuple[str, ...], says: str) -> None:
    ground.refused(*arguments, says=says)


STRANGE = (
    *('we"ird', "semi;colon", "new\nline", "emoji 😀", "q'uote", "x; DROP TABLE users; --", "x" * 64),
    *("%s%d", "$$", "back\\slash"),
)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        *((("plan", "rename-column", "users.{}", "x", "--write"), name) for name in STRANGE[:7]),
        *((("backfill", "run", "{}.email", "--set", "name"), name) for name in STRANGE[6:]),
        *((("partition", "status", "{}"), name) for name in STRANGE[2:4]),
    ],
)
def test_strange_names(ground: Ground, arguments: tuple[str, ...], name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    ground.refused(*(part.replace("{}", quoted) for part in arguments), says=name)


@pytest.mark.parametrize(
    "name", ["users", "a.b.c.d", 'users."name', "users..name", "users. name", "", '"".x']
)
def test_what_is_no_name(ground: Ground, name: str) -> None:
    ground.refused("plan", "rename-column", name, "full_name", "--write", says=f'"{name}"')


def test_bytes_that_are_no_text(ground: Ground) -> None:
    ground.refused("plan", "rename-column", "users.\udcff", "x", says="is not a column name")
    ground.refused(*COMMANDS["backfill run"][:-1], "lower(\udcff)", says="bytes that are no text")


# -- roles --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def role(ground: Ground, scratch_server: scratch.Server) -> Iterator[Callable[..., str]]:
    """Call it with a name and SQL for a role that has just these rights; returns its URL."""
    made: list[str] = []
    database = scratch.database_name(ground.url)

    def make(name: str, *rights: str) -> str:
        role = f"{database}_{name}"
        if role not in made:
            ground.connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
            made.append(role)
            for right in rights:
                ground.connection.execute(right.format(role=role, database=database).encode())
        return f"postgresql://{role}:secret@{ground.url.rpartition('@')[2]}"

    yield make
    for name in made:
        ground.connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


READ_ONLY = (
    "ALTER ROLE {role} SET default_transaction_read_only = on",
    "GRANT ALL ON DATABASE {database} TO {role}",
    "GRANT ALL ON SCHEMA public, evolve TO {role}",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
)


@pytest.mark.parametrize(
    "name",
    [
        *("advance", "upgrade", "downgrade", "backfill run", "backfill pause"),
        *("partition convert", "partition drain", "partition premake"),
    ],
)
def test_session_that_may_only_read(ground: Ground, role: Callable[..., str], name: str) -> None:
    url = role("reader", *READ_ONLY)
    ground.refused(*COMMANDS[name], "--database-url", url, says="this session may only read")


@pytest.mark.parametrize(
    ("rights", "name", "status", "says"),
    [
        ((), "lint --unapplied", 2, "permission denied for table alembic_version"),
        ((), "upgrade", 2, "permission denied for table alembic_version"),
        ((), "upgrade --dry-run", 2, "permission denied for table alembic_version"),
        ((), "downgrade", 2, "permission denied for table alembic_version"),
        ((), "advance", 2, "permission denied for table alembic_version"),
        ((), "status", 2, "permission denied for table alembic_version"),
        ((), "plan set-not-null", 2, "permission denied for table users"),
        ((), "backfill run", 1, "lacks SELECT"),
        ((), "partition convert", 2, "permission denied for schema evolve"),
        (("SELECT",), "advance", 2, "CREATE SCHEMA"),
        (("SELECT",), "backfill run", 1, "lacks UPDATE"),
        (("SELECT",), "partition convert", 2, "evolve"),
        (("SELECT", "UPDATE"), "backfill run", 2, "GRANT ALL ON SCHEMA evolve"),
    ],
)
def test_role_without_rights(
    ground: Ground, role: Callable[..., str], rights: tuple[str, ...], name: str, status: int, says: str
) -> None:
    grants = [f"GRANT {right} ON ALL TABLES IN SCHEMA public TO {{role}}" for right in rights]
    url = role("_".join(("may", *rights)).lower(), *grants)
    ground.refused(*COMMANDS[name], "--database-url", url, says=says, status=status)


# -- settings -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        *("lint", "plan rename-column", "advance", "status", "upgrade", "downgrade"),
        *("backfill run", "backfill run CHANGE", "backfill pause", "backfill status"),
        *("partition convert", "partition premake", "partition status"),
    ],
)
def test_typo_in_the_settings(broken: Ground, name: str) -> None:
    (broken.root / "pyproject.toml").write_text('[tool.evolve.lint]\nfail_onn = "error"\n')
    broken.refused(*COMMANDS[name], says=('"lint.fail_onn" is not a setting', 'did you mean "lint.fail_on"?'))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.evolve.lint]\nfail_on = 3\n", '"lint.fail_on" is 3, but must be one of'),
        ('[tool.evolve.upgrade]\nlock_timeout = "5s"\n', '"upgrade.lock_timeout" is "5s"'),
        ("[tool.evolve.upgrade]\nlock_timeout = 0\n", '"upgrade.lock_timeout" is 0'),
        ("[tool.evolve.lnit]\n", '"lnit" is not a setting'),
        ("[tool.evolve\n", "pyproject.toml:1"),
        ('[tool]\nevolve = "x"\n', "must be a table"),
        ('[tool.evolve.lint]\nignore = ["no-such-rule"]\n', '"no-such-rule"'),
        ("[tool.evolve.lint]\npostgres_version = 9\n", "from 14 to 18"),
        ('[tool.evolve]\nalembic_config = "nowhere.ini"\n', "nowhere.ini"),
        ('[tool.evolve.partition.orders]\nkey = "at"\n', "partition.orders.method"),
    ],
)
def test_wrong_settings(broken: Ground, text: str, says: str) -> None:
    (broken.root / "pyproject.toml").write_text(text)
    broken.refused("lint", "base:heads", says=says)


def test_settings_that_are_no_text(broken: Ground) -> None:
    (broken.root / "evolve.toml").write_bytes("lint = {}".encode("utf-16"))
    broken.refused("lint", says=("evolve.toml", "save it as UTF-8"))


def test_table_of_pyproject_in_evolve_toml(broken: Ground) -> None:
    (broken.root / "evolve.toml").write_text("[tool.evolve.lint]\n")
    broken.refused("lint", says="write [lint], not [tool.evolve.lint]")


@pytest.mark.parametrize("name", ["status", "upgrade --dry-run", "backfill status"])
def test_variable_that_is_not_set(broken: Ground, name: str) -> None:
    (broken.root / "evolve.toml").write_text('database_url = "env:SHOP_DATABASE"\n')
    broken.refused(*COMMANDS[name], says=("SHOP_DATABASE", "--database-url"))
    # Its own advice works.
    assert evolve(*COMMANDS[name], "--database-url", broken.url, cwd=broken.root).returncode == 0


# -- manifests ----------------------------------------------------------------------------------------------------
NONSENSE: dict[str, tuple[str, str, str]] = {
    # what is wrong: (text, what stands there instead, words of the error)
    "broken TOML": ("[change]", "[change", "it is not TOML"),
    "schema of the future": ("schema = 1", "schema = 2", '"schema" is 2'),
    "unknown kind": ('kind = "rename-column"', 'kind = "rename-colum"', '"kind" is'),
    "unknown key": ("schema = 1", 'schema = 1\nowner = "me"', '"owner" is unknown'),
    "unknown phase": ('name = "backfill"', 'name = "backfil"', '"phase[2].name"'),
    "another column": ('column = "name"', 'column = "email"', '"id" is'),
    "SQL in a name": ('to = "full_name"', 'to = "x\\"; DROP TABLE users; --"', '"id" is'),
    "SQL in a table": ('table = "users"', 'table = "users; DROP TABLE users"', '"change.table" is'),
    "phase that has begun without revisions": (
        'name = "contract"\nstate = "planned"',
        'name = "contract"\nstate = "begun"',
        '"phase[5].state" is "begun"',
    ),
    "SQL in a revision": ('revisions = ["', 'revisions = ["x\'; --", "', '"phase[1].revisions" is'),
    "revision that is not there": ('revisions = ["', 'revisions = ["f', '"phase[1].revisions" names "f'),
    "somebody else's revision": ('revisions = ["', 'revisions = ["one", "', "names 2 revisions"),
    "facts of another table": ('"table users" = ', '"table orders" = ', '"table users" is missing'),
    "SQL in the facts": ("PRIMARY KEY (id)", "PRIMARY KEY (id); DROP TABLE users", "cannot be believed"),
    "facts of another server": ("server_version = ", "server_version = true # ", '"server_version" is True'),
}


# One reader serves all commands, so each of the others meets one or two pieces of nonsense.
@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(("status", what) for what in NONSENSE),
        ("advance", "revision that is not there"),
        ("advance", "somebody else's revision"),
        ("plan set-not-null", "broken TOML"),
        ("backfill run CHANGE", "facts of another table"),
        ("backfill run CHANGE", "SQL in the facts"),
    ],
)
def test_manifest_edited_into_nonsense(broken: Ground, name: str, what: str) -> None:
    old, new, says = NONSENSE[what]
    text = broken.manifest.read_text()
    assert old in text
    broken.manifest.write_text(text.replace(old, new, 1))
    broken.refused(*COMMANDS[name], says=(str(broken.manifest), says, "git checkout -- "))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]"])
def test_manifest_that_is_none(broken: Ground, content: bytes) -> None:
    broken.manifest.write_bytes(content)
    broken.refused("status", says=str(broken.manifest))


# -- plugins ------------------------------------------------------------------------------------------------------
PLUGIN = "from evolve.plugin_api import Plugin\nplugin = Plugin(name={name!r}, api={api})\n"


def install(folder: Path, distribution: str, code: str | None, entry: str = "it = {module}:plugin") -> str:
    """A distribution with one plugin, as pip would leave it; returns its place for PYTHONPATH."""
    module = distribution.replace("-", "_")
    place = folder / distribution
    info = place / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[evolve.plugins]\n{entry.format(module=module)}\n")
    if code is not None:
        (place / f"{module}.py").write_text(code)
    return str(place)


BROKEN_PLUGINS: dict[str, tuple[str | None, str]] = {
    "its module is missing": (None, "No module named 'acme_plugin'"),
    "it imports what is not there": ("import no_such_module\n", "No module named 'no_such_module'"),
    "it raises": ("1/0\n", "ZeroDivisionError"),
    "it exits": ("raise SystemExit(0)\n", "SystemExit"),
    "it has no plugin": ("x = 1\n", "has no attribute 'plugin'"),
    "its plugin is none": ("plugin = 3\n", "is of type int"),
    "it is for another API": (PLUGIN.format(name="acme", api=99), "plugin API 99, and this is API 1"),
}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        *((("plugins",), what) for what in BROKEN_PLUGINS),
        (("lint", "base:heads"), "it raises"),
        (("explain",), "it raises"),
        (COMMANDS["partition convert"], "it raises"),
    ],
)
def test_broken_plugin(ground: Ground, tmp_path: Path, arguments: tuple[str, ...], what: str) -> None:
    code, says = BROKEN_PLUGINS[what]
    place = install(tmp_path, "acme-plugin", code)
    ground.refused(*arguments, env={"PYTHONPATH": place}, says=("acme-plugin 1.0", says))


def test_two_plugins_of_one_name(ground: Ground, tmp_path: Path) -> None:
    code = PLUGIN.format(name="same", api=1)
    places = [install(tmp_path, name, code) for name in ("acme-plugin", "other-plugin")]
    ground.refused(
        *("lint", "base:heads"),
        env={"PYTHONPATH": os.pathsep.join(places)},
        says=('the plugin "same"', "acme-plugin 1.0", "other-plugin 1.0"),
    )


def test_entry_points_that_cannot_be_read(ground: Ground, tmp_path: Path) -> None:
    place = install(tmp_path, "acme-plugin", None, entry="nonsense")
    ground.refused("plugins", env={"PYTHONPATH": place}, says="the entry points of acme-plugin")


def test_what_a_plugin_prints_is_no_result(ground: Ground, tmp_path: Path) -> None:
    place = install(tmp_path, "acme-plugin", "print('hello')\n" + PLUGIN.format(name="acme", api=1))
    done = evolve("plugins", "--format", "json", cwd=ground.root, env={"PYTHONPATH": place})
    assert "acme" in json.dumps(json.loads(done.stdout))
    assert "hello" in done.stderr
