"""What a dry run prints of the run to come: time, log, room, and what vacuum and standbys will have to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from evolve.counted import counted
from evolve.durations import duration, span

if TYPE_CHECKING:
    from evolve.backfill.forecast import Forecast, Range


def forecast_lines(forecast: Forecast) -> list[str]:
    from evolve.backfill.aftermath import megabytes

    def between(sizes: Range) -> str:
        least, most = megabytes(sizes.least), megabytes(sizes.most)
        return f"about {megabytes(sizes.likely)}" + (f" ({least} to {most})" if least != most else "")

    places = ", ".join(f"{name} {rate:,.0f} rows/s" for name, rate in forecast.places)
    lines = [
        f"forecast for about {counted(forecast.rows, 'row')}, {forecast.changed:,} of them to be written:",
        f"  time      {_time(forecast.seconds)} ({forecast.rows_per_second:,.0f} rows/s), without verification",
        f"  batches   of about {counted(forecast.size, 'row')}: {forecast.batch_p50 * 1000:.1f} ms in the middle,"
        f" nine of ten within {forecast.batch_p90 * 1000:.1f} ms",
        f"  tried at  {places}",
    ]
    lines += [f"            {name}: {why}" for name, why in forecast.failed]
    lines.append(
        f"  WAL       {between(forecast.wal)}"
        + (f", {megabytes(forecast.full_pages)} of it full-page images" if forecast.full_pages else "")
    )
    lines.append(
        f"  disk      table {between(forecast.heap)} more, indexes {between(forecast.indexes)} more"
        + (f", undo journal about {megabytes(forecast.undo)}" if forecast.undo else "")
    )
    pace = (
        ""
        if forecast.vacuum_seconds is None
        else f"; a vacuum takes about {duration(forecast.vacuum_seconds)}"
    )
    comes = (
        "autovacuum is off for this table"
        if forecast.vacuumed_above is None
        else f"autovacuum begins above {forecast.vacuumed_above:,}"
    )
    lines.append(f"  vacuum    about {counted(forecast.dead, 'dead row version')}; {comes}{pace}")
    lines.append(f"  standbys  {_standbys(forecast)}")
    lines += [f"  note      {caution.text}" for caution in forecast.cautions]
    lines.append(f"  this dry run left {counted(forecast.left_behind, 'dead row version')} for vacuum")
    return lines


def _time(seconds: Range) -> str:
    if seconds.most < 1:
        return "less than a second"
    return f"{span(seconds.least, seconds.most)}, most likely {duration(seconds.likely)}"


def _standbys(forecast: Forecast) -> str:
    if forecast.standbys is None:
        return "not visible to this role"
    if not forecast.standbys:
        return "none"
    told = f"{forecast.standbys}"
    if forecast.catch_up is None:
        return f"{told}; how fast they replay could not be seen"
    if forecast.catch_up < 1:
        return f"{told}, fast enough to keep up"
    return (
        f"{told}, slower than the run, which waits for them; else they would need about"
        f" {duration(forecast.catch_up)} more"
    )


def forecast_json(forecast: Forecast) -> dict[str, object]:
    """Seconds and bytes as numbers; ranges with `least`, `likely` and `most`."""
    found: dict[str, object] = asdict(forecast)
    found["places"] = [{"name": name, "rows_per_second": rate} for name, rate in forecast.places]
    found["failed"] = [{"name": name, "why": why} for name, why in forecast.failed]
    found["cautions"] = [asdict(caution) for caution in forecast.cautions]
    return found
