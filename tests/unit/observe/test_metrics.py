"""What is measured has one list of names: the page, the dashboard, Prometheus and OpenTelemetry keep to it."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from evolve.backfill.happenings import Committed, Left, Retried, Sensed, Waiting, WentOn
from evolve.backfill.ports import Lease
from evolve.backfill.throttle import Hold
from evolve.observe.metrics import METRICS, OF_A_RUN, PREFIX, Metric
from evolve.observe.open_telemetry import Instruments
from evolve.observe.prometheus import NoPrometheus, Page, PublicAddress, served
from evolve.observe.recorder import Recorder

REFERENCE = Path(str(files("evolve") / "docs" / "reference"))
SERIES = {name: metric for metric in METRICS for name in metric.series}


def expressions() -> list[str]:
    dashboard = json.loads((REFERENCE / "backfills.grafana.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*asked, *(each["definition"] for each in dashboard["templating"]["list"] if "definition" in each)]


def alerts() -> list[str]:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    return [line for line in page.splitlines() if PREFIX in line and not line.startswith(("|", "#"))]


def test_the_page_lists_them_all() -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    listed = [line for line in page.splitlines() if line.startswith(f"| `{PREFIX}")]
    assert listed == [
        f"| `{each.full_name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} |"
        f" {each.scope} | {each.meaning} |"
        for each in METRICS
    ]


@pytest.mark.parametrize("text", [*expressions(), *alerts()])
def test_what_is_asked_of_prometheus_is_there(text: str) -> None:
    for name, selector in re.findall(rf"({PREFIX}\w+)(\{{[^}}]*\}})?", text):
        metric = SERIES[name]
        assert {*re.findall(r"(\w+)!?[=~]", selector)} <= {*metric.all_labels}
    known = {
        *OF_A_RUN,
        "le",
        *(label for name in re.findall(rf"{PREFIX}\w+", text) for label in SERIES[name].labels),
    }
    for labels in re.findall(r"by \(([^)]*)\)", text):
        assert {*labels.split(", ")} <= known


def test_the_dashboard_shows_them_all() -> None:
    shown = {name for text in expressions() for name in re.findall(rf"{PREFIX}\w+", text)}
    assert [each.name for each in METRICS if shown.isdisjoint(each.series)] == []


def test_names_of_opentelemetry_become_the_same_for_prometheus() -> None:
    units = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}
    made = [
        each.dotted_name.replace(".", "_") + units.get(each.unit, "") + "_total" * (each.kind == "counter")
        for each in METRICS
    ]
    assert made == [each.full_name for each in METRICS]


class Kept:
    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], float | None] = {}

    def add(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        assert len(labels) == len(metric.all_labels)
        key = (metric.name, *labels[2:])
        self.values[key] = (self.values.get(key) or 0) + value

    def put(self, metric: Metric, value: float | None, labels: tuple[str, ...]) -> None:
        assert len(labels) == len(metric.all_labels)
        self.values[metric.name, *labels[2:]] = value


def test_waits_are_counted_by_their_cause() -> None:
    clock = iter([10.0, 12.0, 13.0, 20.0, 21.0]).__next__
    kept = Kept()
    record = Recorder(kept, clock)
    record(Waiting(Hold(9, "replica lag 80 MB, limit 64 MB", "replica lag")))
    record(Waiting(Hold(9, "replica lag 70 MB, limit 64 MB", "replica lag")))
    assert kept.values["held_workers", "replica lag"] == 1
    record(WentOn())
    record(Waiting(Hold(9, "duty 50%", "duty")))
    record(Left(Lease(1, 1, "me", 1, None, ("9",)), finished=False))
    assert kept.values == {
        ("held_seconds_total", "replica lag"): 3.0,
        ("held_seconds_total", "duty"): 1.0,
        ("held_workers", "replica lag"): 0,
        ("held_workers", "duty"): 0,
    }


def test_prometheus_reads_each_kind() -> None:
    page = Page()
    record = Recorder(page)
    record(Committed(scanned=100, changed=40, seconds=0.02, size=200))
    record(Retried("40P01", "deadlock detected", 0.1))
    record(Sensed("replica lag", "bytes", 5.0))
    record(Sensed("replica lag", "bytes", None))
    of = {"name": "", "table": ""}

    def value(name: str, **labels: str) -> float | None:
        return page.registry.get_sample_value(PREFIX + name, {**of, **labels})

    assert value("rows_total") == 40
    assert value("batch_seconds_sum") == 0.02
    assert value("retries_total", sqlstate="40P01") == 1
    assert value("replica_lag_bytes") is None


def test_opentelemetry_takes_each_kind() -> None:
    record = Recorder(Instruments())  # of a process that has set up no provider
    record(Committed(scanned=100, changed=40, seconds=0.02, size=200))
    record(Sensed("replica lag", "bytes", None))


@pytest.mark.parametrize("address", ["0.0.0.0", "", "::", "192.0.2.1"])  # noqa: S104  # that is the point
def test_an_address_for_others_has_to_be_meant(address: str) -> None:
    with pytest.raises(PublicAddress), served(0, address, i_know=False):
        pass


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve.observe.prometheus.find_spec", lambda _name: None)
    with pytest.raises(NoPrometheus), served(0, "127.0.0.1", i_know=False):
        pass


def test_one_that_is_meant_is_served() -> None:
    with served(0, "0.0.0.0", i_know=True) as (_, url):  # noqa: S104  # that is the point
        assert url.startswith("http://0.0.0.0:")


def test_metrics_of_a_kind_have_what_belongs_to_it() -> None:
    found: list[Any] = [each for each in METRICS if (each.kind == "counter") != each.name.endswith("_total")]
    assert found == []
