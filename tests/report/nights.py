"""Seeded report data for tests: shaped like the store's rows, small enough to count by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache

import numpy as np
import pandas as pd

from forecasting.report.night_view import NightDetails, NightView
from forecasting.report.record import track_record
from forecasting.sessions import next_sessions, shift
from forecasting.store.read import Lead
from forecasting.store.rows import FetchRow, ForecastRow, ResultRow, TotalRow
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS
from tests.builders import random_bars
from tests.store.rows import stored_model, stored_run

ORIGIN = date(2024, 3, 8)
SPREAD = np.array([0.60, 0.70, 0.85, 1.0, 1.2, 1.5, 1.8])  # quantiles as multiples of the median
ISSUED = datetime(2024, 3, 9, 10, 31, tzinfo=UTC)
UNNAMED = dict.fromkeys(("model_id", "run_id", "fetch_id"), "")
LEADS = {
    "ridge": Lead(40, 0.05, 0.06),
    "last_value": Lead(39, 0.4, 0.3),
    "lstm": Lead(40, 0.0, 0.0),
}
FINDING_COLUMNS = ["session", "rule", "severity", "value", "detail", "since"]


def plain(text: str) -> str:
    """With ordinary spaces and dashes."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{EN DASH}", "-")


def values_of(target: str) -> pd.Series:
    bars = random_bars(days=80, seed=3, last=ORIGIN)
    return bars["volume"] if target == "volume" else np.log(bars["high"] / bars["low"])


def forecasts(target: str = "volume", *, kind: str = "live", **changed) -> list[ForecastRow]:
    """Five published forecasts, medians 1% apart, upward from the last value; `changed` replaces whole columns."""
    last = float(values_of(target).iloc[-1])
    medians = last * (1 + 0.01 * np.array(HORIZONS))
    rows = pd.DataFrame(medians[:, None] * SPREAD, columns=list(QUANTILE_COLUMNS))
    rows = rows.assign(
        origin_session=ORIGIN, horizon=HORIZONS, target_session=next_sessions(ORIGIN, 5), kind=kind
    )
    usual = float(values_of(target).iloc[-20:].median())
    rows = rows.assign(
        status="ok",
        reason="",
        last_value=last,
        issued_at=ISSUED,
        data_as_of=ISSUED,
        usual=usual,
        vs_usual=rows["q50"] / usual - 1,
        special_day=["", "", "earnings after the close before", "", "triple witching"],
        expected_report=None,
        title="Starbucks Corporation",
        source="yahoo",
        **UNNAMED,
        symbol="SBUX",
        target=target,
    )
    return [ForecastRow(**row) for row in rows.assign(**changed).to_dict("records")]


@cache  # a record has 200 scores
def sessions_of(ago: int, horizon: int) -> tuple[date, date]:
    """The origin and the target session of a score."""
    origin = shift(ORIGIN, -ago - horizon + 1)
    return origin, shift(origin, horizon)


def score(
    *, ago: int = 1, horizon: int = 1, actual: float = 10.0, median: float = 10.0, **changed
) -> dict:
    """One score; the origin is `ago` + `horizon` - 1 sessions before the newest that has an actual."""
    origin, target = sessions_of(ago, horizon)
    quantiles = dict(zip(QUANTILE_COLUMNS, median * SPREAD, strict=True))
    row = {
        "name": "lstm",
        "model_id": "m",
        "role": "published",
        "kind": "live",
        "origin_session": origin,
    }
    row |= {
        "horizon": horizon,
        "target_session": target,
        **quantiles,
        "issued_at": ISSUED,
        "actual": actual,
    }
    row |= {"error": median - actual, "pinball": abs(median - actual) / 2}
    row |= {
        f"inside_{100 - 2 * low}": quantiles[f"q{low:02d}"] <= actual <= quantiles[f"q{100 - low}"]
        for low in (10, 5)
    }
    return row | changed


def scored(*rows: dict) -> pd.DataFrame:
    """The scores of what was published."""
    return pd.DataFrame(rows, columns=[*score()])


def long_record(target: str = "volume", *, origins: int = 40) -> pd.DataFrame:
    """Published forecasts off by 5% of most actuals."""
    return _long_record(target, origins).copy()


@cache  # most tests of the page begin with them
def _long_record(target: str, origins: int) -> pd.DataFrame:
    values = values_of(target)
    rows = [
        score(
            ago=ago,
            horizon=horizon,
            actual=float(values.iloc[-ago]),
            median=float(values.iloc[-ago]) * (1.05 if ago % 5 else 1.6),
        )
        for ago in range(1, origins + 1)
        for horizon in HORIZONS
    ]
    return scored(*rows)


def report_data(target: str = "volume", **changed) -> NightView:
    """A night without notices.

    `changed` replaces fields of it or of its details; a dict for run, fetch or model adds to it.
    """
    values = values_of(target)
    run = stored_run(
        "9c1f20ab77e01234",
        ORIGIN.isoformat(),
        target=target,
        trigger="schedule",
        mode="warm",
        mode_reason="12 sessions since scratch",
        **dict.fromkeys(("flow_run_id", "error")),
        note="",
    )
    fetch = {
        "id": "77aa01bb22cc33dd",
        "source": "yahoo",
        "title": "Starbucks Corporation",
        "verdict": "extended",
        "detail": "1 new bar",
        "first_received": date(2014, 1, 2),
        "first_asked": date(2014, 1, 2),
        "last_asked": ORIGIN,
        "last_received": ORIGIN,
        "fetched_at": ISSUED,
        "row_count": 2562,
        "payload_hash": "",
    }
    model = stored_model(
        "3f9c2ab1a77d0e11",
        method="warm",
        seed=7,
        epochs=6,
        parent_id="1b2c3d4e5f607182",
        base=None,
        artifact_hash="b5d4045c3f466fa9",
        trained_from=date(2014, 3, 31),
        trained_to=date(2024, 3, 6),
    )
    details = {
        "run": replace(run, **changed.pop("run", {})),
        "fetch": FetchRow(**(fetch | changed.pop("fetch", {}))),
        "model": replace(model, **changed.pop("model", {})),
        "record": track_record(changed.pop("scored", long_record(target))),
        "findings": pd.DataFrame(columns=FINDING_COLUMNS),
        "past_days": {date(2024, 1, 31): ["earnings"]},
        "leads": LEADS,
    }
    own = {name: changed.pop(name) for name in list(changed) if name in NightView.__match_args__}
    symbol = details["run"].symbol
    columns = ["kind", "target_session", "q10", "q50", "q90", "actual", "inside_80"]
    newest = details["record"].ahead(1).tail(1)[columns].to_dict("records")
    history = pd.DataFrame({"value": values, "settled": True})
    fields = {
        "run": changed.pop("unfinished", details["run"]),
        "forecasts": forecasts(target),
        "history": history.set_axis([day.date() for day in history.index]),
        "result": ResultRow(symbol, target, **newest[0]) if newest else None,
        "details": NightDetails(**(details | changed)),
    }
    return NightView(symbol, target, **(fields | own))


def total(horizon: int, **quantiles: float) -> TotalRow:
    """The total of some sessions, with 0 for the quantiles that nobody looks at."""
    levels = dict.fromkeys(QUANTILE_COLUMNS, 0.0) | quantiles
    written = {"role": "published", "factor": 1.0, "issued_at": ISSUED}
    ends = next_sessions(ORIGIN, horizon)[-1]
    return TotalRow("SBUX", "volume", ORIGIN, horizon, "", "live", ends, **levels, **written)


HIT = ResultRow("SBUX", "volume", "live", ORIGIN, 0.0, 10e6, 0.0, actual=11e6, inside_80=True)


def forecast(symbol: str = "SBUX", target: str = "volume", **changed) -> ForecastRow:
    row = {
        **UNNAMED,
        **dict.fromkeys(QUANTILE_COLUMNS, 12e6),
        "last_value": None,
        "symbol": symbol,
        "target": target,
        "horizon": 1,
        "origin_session": ORIGIN,
        "target_session": date(2024, 3, 11),
        "q10": 8e6,
        "q50": 12e6,
        "q90": 16e6,
        "kind": "live",
        "status": "ok",
        "reason": "",
        "special_day": "",
        "expected_report": None,
        "usual": 10e6,
        "title": "Starbucks Corporation",
        "source": "yahoo",
        "issued_at": ISSUED,
        "data_as_of": ISSUED,
    } | changed
    usual = row["usual"]
    return ForecastRow(**({"vs_usual": None if usual is None else row["q50"] / usual - 1} | row))


def index_line(symbol: str = "SBUX", target: str = "volume", **changed) -> NightView:
    """Twenty-five sessions around 10 M shares, the last result a hit.

    `changed` replaces fields or columns; `parts` are of the forecast, `values` of the history.
    """
    values = changed.pop("values", [8e6, 10e6, 12e6, 10e6, 10e6] * 5)
    days = [date.fromordinal(ORIGIN.toordinal() - ago) for ago in range(len(values))][::-1]
    fields = {
        "run": stored_run("", str(ORIGIN)),
        "history": pd.DataFrame({"value": values, "settled": True}, index=days),
        "result": HIT,
        "parts": {1: changed.pop("parts", ())},
        "page": f"{symbol}-{target}.html",
    }
    own = {name: changed.pop(name) for name in list(changed) if name in NightView.__match_args__}
    return NightView(
        symbol, target, forecasts=[forecast(symbol, target, **changed)], **(fields | own)
    )
