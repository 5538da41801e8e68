"""What holds a backfill, from the settings of a project, the command line and plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve import plugin_loader
from evolve.app.backfill_throttling import BadThrottle, NoSuchThrottle, throttling_of
from evolve.backfill.modes import Mode
from evolve.backfill.sensor import Limits
from evolve.config import Backfill, Config, load
from evolve.errors import Misuse
from evolve.plugin_api import Hold, NamedThrottle, Plugin
from evolve.plugin_loader import LoadedPlugin, Origin


def settings(folder: Path, text: str) -> Config:
    (folder / "evolve.toml").write_text(text)
    return load(folder)


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ('mode = "polit"', '"backfill.mode" is "polit"', "correct backfill.mode"),
        ("max_wal = 10", '"backfill.max_wal" is 10', "correct backfill.max_wal"),
        ('windows = ["22:00-06:00 Europe/Berlinn"]', "no time zone", 'did you mean "Europe/Berlin"?'),
        ('windows = ["06:00-06:00 UTC"]', "it never opens", '"00:00-24:00"'),
        (
            'sensors.replica-lags.hard = "1MB"',
            'there is no sensor "replica-lags"',
            'did you mean "replica-lag"?',
        ),
        (
            'sensors.replica-lag.hart = "1MB"',
            "is not a setting",
            'did you mean "backfill.sensors.replica-lag.hard"?',
        ),
        ("sensors.sessions = {}", '"backfill.sensors.sessions.hard" is missing', "correct"),
        ("sensors.vacuum = 5", '"backfill.sensors.vacuum" is 5', "correct"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_line(
    tmp_path: Path, text: str, what: str, fix: str
) -> None:
    with pytest.raises(Misuse) as refused:
        settings(tmp_path, f"[backfill]\n{text}\n")
    assert "evolve.toml:" in refused.value.what
    assert what in refused.value.what
    assert fix in str(refused.value.fix)


def test_a_sensor_is_switched_off_and_another_one_set(tmp_path: Path) -> None:
    config = settings(
        tmp_path,
        "[backfill.sensors]\nslots.off = true\nreplica-lag.hard = '8MB'\ndisk.hard = '2TB'\n"
        "[backfill.sensors.queue]\nsql = 'SELECT 1'\nhard = 3\n",
    )
    throttling = throttling_of(config.backfill, Mode.FAST, (), (), tmp_path)
    limits = {choice.name: choice.limits for choice in throttling.sensors}
    assert "slots" not in limits
    assert limits["replica-lag"] == Limits(2e6, 8e6)
    assert limits["disk"] == Limits(hard=2e12)
    assert limits["queue"] == Limits(hard=3)


def test_windows_of_the_command_line_take_the_place_of_those_in_the_settings(tmp_path: Path) -> None:
    config = Backfill(windows=("22:00-06:00 UTC",))
    throttling = throttling_of(config, Mode.FAST, ("01:00-02:00 UTC",), (), tmp_path)
    assert [window.text for window in throttling.windows] == ["01:00-02:00 UTC"]


class Never:
    def __init__(self, argument: str) -> None:
        if not argument:
            raise ValueError("it needs a host")

    def committed(self, rows: int, seconds: float) -> None: ...

    def hold(self) -> Hold | None:
        return None


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Plugin("acme", 1, throttles=[NamedThrottle("mails", Never)])
    loaded = (LoadedPlugin(plugin, Origin("acme", "1", "acme:plugin")),)
    monkeypatch.setattr(plugin_loader, "load_plugins", lambda: loaded)


@pytest.mark.usefixtures("acme")
def test_a_throttle_of_a_plugin_is_made_with_what_stands_behind_the_colon(tmp_path: Path) -> None:
    throttling = throttling_of(Backfill(throttles=("mails:a",)), Mode.FAST, (), ("mails:b:c",), tmp_path)
    assert [name for name, _ in throttling.plugged] == ["mails", "mails"]


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("text", "error", "words"),
    [("mail:x", NoSuchThrottle, 'did you mean "mails"?'), ("mails", BadThrottle, "it needs a host")],
)
def test_a_throttle_that_cannot_be_made_is_refused(
    tmp_path: Path, text: str, error: type[Misuse], words: str
) -> None:
    with pytest.raises(error) as refused:
        throttling_of(Backfill(), Mode.FAST, (), (text,), tmp_path)
    assert words in str(refused.value)
