"""Settings are found, read and refused by name."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from evolve import config
from evolve.app.gate_rules import gate_rules
from evolve.config import (
    Approval,
    BadValue,
    BrokenToml,
    Config,
    MissingVariable,
    NoConfigFile,
    TwoConfigurations,
    UnknownKey,
)
from evolve.config_gates import Gates
from evolve.config_table import line_of
from evolve.lint.settings import AllowedBySetting, SeveritySetting


def write(folder: Path, text: str, name: str = "evolve.toml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    assert config.load(tmp_path) == Config()


def test_pyproject_is_found_from_below(tmp_path: Path) -> None:
    write(tmp_path, '[tool.evolve.lint]\nfail_on = "info"\n', "pyproject.toml")
    below = tmp_path / "src" / "app"
    below.mkdir(parents=True)
    assert config.load(below).lint.fail_on == "info"


def test_pyproject_without_our_section_is_passed_by(tmp_path: Path) -> None:
    write(tmp_path, "[backfill]\nbatch_ms = 7\n")
    below = tmp_path / "service"
    below.mkdir()
    write(below, '[project]\nname = "service"\n', "pyproject.toml")
    assert config.load(below).backfill.batch_ms == 7


def test_nearest_file_wins_whole(tmp_path: Path) -> None:
    write(tmp_path, "[backfill]\nbatch_ms = 7\n")
    below = tmp_path / "service"
    below.mkdir()
    write(below, "[upgrade]\nmax_retries = 3\n")
    assert config.load(below).backfill.batch_ms == config.Backfill().batch_ms


def test_named_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    file = write(tmp_path, "[upgrade]\nlock_timeout = 1234\n", "production.toml")
    assert config.load(Path("/"), file).upgrade.lock_timeout == 1234


def test_every_setting_is_read(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        database_url = "postgresql://localhost/shop"
        alembic_config = "db/alembic.ini"
        alembic_section = "tenant"
        expand_branch = "pre"
        contract_branch = "post"
        [lint]
        fail_on = "warning"
        ignore = ["EV701", "drop-table"]
        enable = ["7xx"]
        required_columns = ["made_at"]
        import_ignores = ["squawk"]
        exclude = ["2019_*"]
        postgres_version = 17
        time_limit = 2
        [upgrade]
        lock_timeout = 1
        concurrently_lock_timeout = 2
        statement_timeout = 3
        max_retries = 4
        retry_budget = 5
        runner_wait = 6.5
        [backfill]
        batch_ms = 7
        batch_size = 8
        max_batch_size = 9
        [partition.orders]
        method = "range"
        key = "created_at"
        """,
    )
    read = config.load(tmp_path)
    assert (read.file, read.database_url, read.alembic_config, read.alembic_section) == (
        file,
        "postgresql://localhost/shop",
        tmp_path / "db/alembic.ini",
        "tenant",
    )
    assert read.branches == ("pre", "post")
    assert read.lint == config.Lint(
        "warning", ("EV701", "drop-table"), ("7xx",), ("made_at",), ("squawk",), ("2019_*",), 17, 2.0
    )
    assert read.upgrade == config.Upgrade(1, 2, 3, 4, 5.0, 6.5)
    assert read.backfill == config.Backfill(7, 8, 9)
    assert dict(read.partition["orders"].options) == {"key": "created_at"}
    assert read.partition["orders"].method == "range"


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ('databse_url = "x"', "databse_url", "database_url"),
        ("[lnit]", "lnit", "lint"),
        ("[lint]\nfail-on = 'error'", "lint.fail-on", "lint.fail_on"),
        ("[upgrade]\nlocktimeout = 5", "upgrade.locktimeout", "upgrade.lock_timeout"),
    ],
)
def test_unknown_key_names_the_file_the_key_and_the_nearest(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UnknownKey) as raised:
        config.load(tmp_path)
    assert raised.value.what == f'{file}:{text.count(chr(10)) + 1}: "{key}" is not a setting'
    assert raised.value.fix == f'did you mean "{nearest}"?'


def test_unknown_key_far_from_any_lists_the_valid_ones(tmp_path: Path) -> None:
    write(tmp_path, "[backfill]\nzzz = 1")
    with pytest.raises(UnknownKey, match="valid here: approval, batch_ms, batch_size, keep_undo"):
        config.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("database_url = 5", '"database_url" is 5, but must be a text'),
        ("lint = 5", '"lint" is 5, but must be a table'),
        ("[gates]\nregistry = 'off'", '"gates.registry" is "off", but must be one of where-there, required'),
        ("[lint]\nfail_on = 'fatal'", '"lint.fail_on" is "fatal", but must be one of error, warning, info'),
        ("[lint]\nignore = 'EV101'", '"lint.ignore" is "EV101", but must be a list of texts'),
        ("[lint]\nignore = [101]", '"lint.ignore" is [101], but must be a list of texts'),
        (
            "[lint]\npostgres_version = 9",
            '"lint.postgres_version" is 9, but must be a whole number from 14 to 18',
        ),
        ("[lint]\ntime_limit = nan", '"lint.time_limit" is nan, but must be a number of seconds'),
        (
            'expand_branch = "pre"\ncontract_branch = "pre"',
            '"contract_branch" is "pre", but must be another label',
        ),
        (
            "[upgrade]\nlock_timeout = 0",
            '"upgrade.lock_timeout" is 0, but must be a whole number of at least 1',
        ),
        (
            "[upgrade]\nmax_retries = true",
            '"upgrade.max_retries" is true, but must be a whole number of at least 0',
        ),
        ("[upgrade]\nretry_budget = -1", '"upgrade.retry_budget" is -1, but must be a number of seconds'),
        (
            "[backfill]\nbatch_size = 99999",
            '"backfill.batch_size" is 99999, but must be at most max_batch_size, 50000',
        ),
        (
            "[partition.orders]\nkey = 'a'",
            '"partition.orders.method" is missing, but must be the name of a partition',
        ),
        ("[partition]\norders = 'range'", '"partition.orders" is "range", but must be a table'),
    ],
)
def test_wrong_value_names_the_file_the_key_and_what_is_expected(
    tmp_path: Path, text: str, sentence: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(BadValue) as raised:
        config.load(tmp_path)
    line = 1 if "missing" in sentence else text.count("\n") + 1
    assert raised.value.what.startswith(f"{file}:{line}: {sentence}")


def test_section_that_is_no_table_is_an_error_in_pyproject(tmp_path: Path) -> None:
    write(tmp_path, "[tool]\nevolve = true\n", "pyproject.toml")
    with pytest.raises(BadValue, match=r'"tool\.evolve" is true, but must be a table'):
        config.load(tmp_path)


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    file = write(tmp_path, "[lint]\nfail_on = \n")
    with pytest.raises(BrokenToml) as raised:
        config.load(tmp_path)
    assert raised.value.what == f"{file}:2: Invalid value"


def test_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoConfigFile, match="No such file"):
        config.load(tmp_path, tmp_path / "none.toml")


def test_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "evolve.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(NoConfigFile, match="not UTF-8"):
        config.load(tmp_path)


def test_two_files_in_one_folder_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "[lint]\n")
    write(tmp_path, "[tool.evolve]\n", "pyproject.toml")
    with pytest.raises(TwoConfigurations):
        config.load(tmp_path)


def test_url_is_taken_from_the_variable_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 'database_url = "env:SHOP_URL"')
    monkeypatch.setenv("SHOP_URL", "postgresql://db/shop")
    assert config.load(tmp_path).resolved_database_url() == "postgresql://db/shop"


def test_missing_variable_is_an_error_only_when_the_url_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 'database_url = "env:SHOP_URL"')
    monkeypatch.delenv("SHOP_URL", raising=False)
    read = config.load(tmp_path)
    with pytest.raises(MissingVariable, match="SHOP_URL") as raised:
        read.resolved_database_url()
    assert "--database-url" in str(raised.value)


def test_a_replica_whose_variable_is_missing_is_no_matter_of_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, '[gates]\nreplicas = ["env:REPLICA_URL"]')
    monkeypatch.delenv("REPLICA_URL", raising=False)
    with pytest.raises(MissingVariable, match="REPLICA_URL") as raised:
        gate_rules(config.load(tmp_path))
    assert "--database-url" not in str(raised.value)
    assert "standbys_without_reads" in str(raised.value)


def test_password_is_not_in_the_representation(tmp_path: Path) -> None:
    write(tmp_path, 'database_url = "postgresql://me:secret@db/shop"')
    assert "secret" not in repr(config.load(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        'database_url = ["postgresql://me:hunter2@db/shop"]',
        '[gates]\nreplicas = "postgresql://me:hunter2@db/shop"',
        '[gates]\nreplicas = "host=db password=hunter2"',
    ],
)
def test_a_url_in_the_wrong_place_keeps_its_password(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(BadValue) as raised:
        config.load(tmp_path)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        f"a = {'[' * 100_000}",
        f"a = {'9' * 10_000}",
        "[upgrade]\nlock_timeout = 2147483648",
        "[upgrade]\nretry_budget = 1e300",
        f"[gates]\nregret_window = 1{'0' * 400}",
        f'[preflight]\ndisk_free = ["{"1" * 400}GB"]',
        f'[lint]\nfail_on = "{"x" * 100_000}"',
        '[lint]\nfail_on = "\\u0000\\u001b"',
    ],
    ids=lambda text: text[:30],
)
def test_settings_that_mean_ill_are_refused_in_few_words(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises((BadValue, BrokenToml, UnknownKey)) as raised:
        config.load(tmp_path)
    assert len(str(raised.value)) < 1000


# -- environments ----------------------------------------------------------------------------------------------------
ENVIRONMENTS = """
database_url = "postgresql://here/shop"
[lint]
fail_on = "warning"
postgres_versions = [14, 18]
[lint.sizes]
small_rows = 5
[environments.production]
database_url = "postgresql://there/shop"
lint.postgres_version = 16
lint.sizes.small_mb = 7
[environments.staging]
"""


def test_an_environment_replaces_what_it_sets_and_keeps_the_rest(tmp_path: Path) -> None:
    file = write(tmp_path, ENVIRONMENTS)
    there = config.load(tmp_path, file, "production")
    assert (there.database_url, there.lint.fail_on) == ("postgresql://there/shop", "warning")
    assert (there.lint.postgres_versions, there.lint.postgres_version) == ((), 16)
    assert (there.lint.sizes.small_rows, there.lint.sizes.small_mb) == (5, 7)


def test_without_an_environment_none_counts(tmp_path: Path) -> None:
    write(tmp_path, ENVIRONMENTS)
    here = config.load(tmp_path)
    assert (here.database_url, here.lint.postgres_versions) == ("postgresql://here/shop", (14, 18))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("produktion", 'did you mean "production"?'),
        ("moon", "there are production, staging; another one is a table [environments.moon]"),
    ],
)
def test_unknown_environment_names_the_nearest(tmp_path: Path, name: str, says: str) -> None:
    write(tmp_path, ENVIRONMENTS)
    with pytest.raises(config.UnknownEnvironment) as caught:
        config.load(tmp_path, environment=name)
    assert says in (caught.value.fix or "")


def test_an_environment_without_any_settings(tmp_path: Path) -> None:
    with pytest.raises(config.UnknownEnvironment, match="production"):
        config.load(tmp_path, environment="production")


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("lint.fail_onn = 1", UnknownKey, "environments.production.lint.fail_on"),
        ("lint.fail_on = 1", BadValue, 'evolve.toml:2: "environments.production.lint.fail_on"'),
        ("environments.more = 1", UnknownKey, '"environments.production.environments"'),
    ],
)
def test_mistakes_of_an_environment_are_told_whoever_asks(
    tmp_path: Path, text: str, error: type[BadValue | UnknownKey], says: str
) -> None:
    write(tmp_path, f"[environments.production]\n{text}\n")
    with pytest.raises(error) as caught:
        config.load(tmp_path)
    assert says in str(caught.value)


@pytest.mark.parametrize("value", ["[13]", "16", "[true]", '["16"]'])
def test_versions_are_a_list_of_majors(tmp_path: Path, value: str) -> None:
    write(tmp_path, f"[lint]\npostgres_versions = {value}\n")
    with pytest.raises(BadValue, match="postgres_versions"):
        config.load(tmp_path)


def test_one_version_and_several_are_not_both_set(tmp_path: Path) -> None:
    write(tmp_path, "[lint]\npostgres_versions = [16]\npostgres_version = 16\n")
    with pytest.raises(BadValue, match="left out beside postgres_versions"):
        config.load(tmp_path)


def test_the_site_of_the_pages_is_an_address(tmp_path: Path) -> None:
    write(tmp_path, '[lint]\ndocs_url = "https://docs.example.invalid/evolve"\n')

    assert config.load(tmp_path).lint.docs_url == "https://docs.example.invalid/evolve"


@pytest.mark.parametrize("value", ["docs.example.invalid", "javascript:alert(1)", "https://a b"])
def test_the_site_of_the_pages_is_no_other_text(tmp_path: Path, value: str) -> None:
    write(tmp_path, f"[lint]\ndocs_url = {value!r}\n")

    with pytest.raises(BadValue, match="docs_url"):
        config.load(tmp_path)


SILENCE = """
[tool.evolve.lint]
baseline = "ci/known.jsonl"

[tool.evolve.lint.severity]
EV305 = "error"
7xx = "off"

[[tool.evolve.lint.allow]]
rules = ["drop-column"]
because = "nobody maps it"

[[tool.evolve.lint.allow]]
rules = ["2xx", "EV401"]
files = ["./versions/2019_*.py"]
because = " they ran long ago "
until = 2026-12-31
"""


def test_what_is_allowed_is_read_with_its_line(tmp_path: Path) -> None:
    file = write(tmp_path, SILENCE, "pyproject.toml")

    lint = config.load(tmp_path).lint

    assert lint.allow == (
        AllowedBySetting(("drop-column",), "nobody maps it", (), None, file, 9),
        AllowedBySetting(
            ("2xx", "EV401"), "they ran long ago", ("versions/2019_*.py",), date(2026, 12, 31), file, 13
        ),
    )
    assert lint.severity == (SeveritySetting("EV305", "error"), SeveritySetting("7xx", "off"))
    assert lint.baseline == tmp_path / "ci" / "known.jsonl"


def test_last_day_may_be_a_text(tmp_path: Path) -> None:
    write(tmp_path, SILENCE.replace("2026-12-31", '"2026-12-31"'), "pyproject.toml")

    assert config.load(tmp_path).lint.allow[1].until == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("text", "key", "word", "line"),
    [
        ("[lint]\nignore = [\n  'a',\n  'b',\n]\n", "lint.ignore", "", 2),
        ("[lint]\nignore = [\n  'a',\n  'b',\n]\n", "lint.ignore", "b", 4),
        ("lint.ignore = ['a']\n", "lint.ignore", "", 1),
        ("# ignore\n[lint]\n\nignore = ['a']\n", "lint.ignore", "", 4),
        ("x = '''\n[lint]\nignore = []\n'''\n[lint]\nignore = []\n", "lint.ignore", "", 6),
        ("lint = { ignore = [] }\n", "lint.ignore", "", 1),
        ("[[lint.allow]]\na = 1\n[[lint.allow]]\na = 1\n", "lint.allow[2].a", "", 4),
        ("[lint]\n", "lint.ignore", "", 1),
        ("", "lint.ignore", "", 0),
    ],
)
def test_line_of_a_setting(tmp_path: Path, text: str, key: str, word: str, line: int) -> None:
    assert line_of(write(tmp_path, text), key, word) == line


def test_an_alembic_ini_of_ones_own_is_not_replaced_by_settings_further_up(tmp_path: Path) -> None:
    write(tmp_path, 'alembic_config = "billing/alembic.ini"\n')
    for name in ("billing", "shop", "docs"):
        (tmp_path / name).mkdir()
        if name != "docs":
            (tmp_path / name / "alembic.ini").write_text("[alembic]\n")

    found = {name: config.load(tmp_path / name).alembic_config for name in ("billing", "shop", "docs")}

    assert found == {
        "billing": tmp_path / "billing/alembic.ini",
        "shop": None,
        "docs": tmp_path / "billing/alembic.ini",
    }


def test_what_gates_ask_is_what_the_settings_say() -> None:
    settings = config.Config(gates=Gates(regret_window=60, registry="required"))
    rules = gate_rules(settings)
    assert (rules.regret_window, rules.registry) == (60, "required")


def test_what_wants_approval_is_read_and_a_wrong_word_is_told_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, '[backfill.approval]\nrows = 1_000_000\ntables = ["payments", "ledger.*"]')
    assert config.load(tmp_path).backfill.approval == Approval(1_000_000, ("payments", "ledger.*"))
    write(tmp_path, "[backfill.approval]\nrow = 5")
    with pytest.raises(UnknownKey, match=r'did you mean "backfill\.approval\.rows"'):
        config.load(tmp_path)
