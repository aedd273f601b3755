"""What `check --metrics` writes: figures of each symbol and target in Prometheus' text format."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from forecasting.night.health import LiveState
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.store.connect import Connection
from forecasting.store.files import check_writable, write_text
from forecasting.vocabulary import PUBLISHED

_HELP = {
    "forecasting_live_missing": "1 if the newest completed session has no live forecast, else 0.",
    "forecasting_live_night_age_seconds": "Seconds since the newest live forecast was issued.",
    "forecasting_live_night_duration_seconds": "Seconds of the five steps of that night.",
    "forecasting_live_night_rows": "Rows of table forecasts which that night wrote.",
}


def write_metrics(out: Path, settings: Settings, states: Sequence[LiveState], at: datetime) -> None:
    """Write the file for the textfile collector of Prometheus' node exporter, whole or not at all.

    A series without a live forecast has the first figure alone.
    """
    check_writable(out)
    with connect.reading(settings.url) as connection:
        figures = [(state, _figures(connection, state, at)) for state in states]
    lines = []
    for name, text in _HELP.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [
            f'{name}{{symbol="{state.symbol}",target="{state.target}"}} {values[name]:.15g}'
            for state, values in figures
            if name in values
        ]
    write_text(out, "\n".join([*lines, ""]))


def _figures(connection: Connection, state: LiveState, at: datetime) -> Mapping[str, float]:
    """The figures of a series by name."""
    missing = {"forecasting_live_missing": float(state.condition is not None)}
    of_series = {"symbol": state.symbol, "target": state.target}
    live = of_series | {"kind": "live", "role": PUBLISHED}
    newest = read.row(connection, "forecasts", live, order=("origin_session DESC", "horizon"))
    if newest is None:
        return missing
    night = read.view(connection, "night_log", {"run_id": newest.run_id})
    written = of_series | {"run_id": newest.run_id, "origin_session": newest.origin_session}
    return missing | {
        "forecasting_live_night_age_seconds": (at - newest.issued_at).total_seconds(),
        "forecasting_live_night_duration_seconds": night["seconds_total"].sum(),
        "forecasting_live_night_rows": len(read.view(connection, "forecasts", written)),
    }
