"""When orders are done that trade a share of the volume: from the newest published forecasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import StoreError, UsageError
from forecasting.ingest.sources.files import faults, first_faults, misfits, read_file
from forecasting.losses import Floats
from forecasting.night.symbols import Outcomes
from forecasting.predict.totals import amount_at, chance_of
from forecasting.publish.pages import each_report
from forecasting.report.night_view import ReportData
from forecasting.report.terminal import Parts
from forecasting.report.units import full_day, percent
from forecasting.report.wording import notices
from forecasting.sessions import last_completed
from forecasting.settings import Settings
from forecasting.values import SYMBOL
from forecasting.vocabulary import (
    HIGH_80,
    HORIZONS,
    LOW_80,
    MEDIAN,
    QUANTILE_COLUMNS,
    QUANTILES,
    Clock,
)

CAUTION = (
    "The forecast is of all trading, the order's included, as it was in the past; a large share "
    "moves the market. *: beyond the 5 or 95% quantile, extrapolated."
)


@dataclass(frozen=True)
class Pace:
    """How orders are traded, and what is asked of them."""

    participation: float  # share of each session's volume
    chance: float  # with which an order is to be done
    by: date | None = None  # a session by which it is to be done; None for none


def pace_of(participation: object, chance: object, by: date | None = None) -> Pace:
    """The pace of shares that are numbers, as 0.1, or texts, as `10%`."""
    return Pace(_share("participation", participation), _share("chance", chance), by)


def _share(name: str, stated: object) -> float:
    text = str(stated)
    try:
        share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        share = np.nan
    if not 0.0 < share <= 1.0:
        raise UsageError(
            f"Invalid {name} {text[:40]!r}: expected a share above 0 and up to 100%, such as 10% "
            "or 0.1."
        )
    return share


def read_orders(choice: str) -> dict[str, float]:
    """Shares by symbol of the file that csv:FILE names, with columns symbol and shares."""
    kind, _, path = choice.partition(":")
    if kind != "csv" or not path:
        raise UsageError(
            f"Invalid --orders {choice[:100]!r}: expected csv:FILE with columns symbol and shares."
        )
    table = read_file(Path(path), "csv", "orders csv:FILE", needed="orders")
    rows = table.rows
    if rows.empty:
        raise UsageError(f"Expected a line for each order in {table.name}; found only a header.")
    shares = pd.to_numeric(rows["shares"], errors="coerce")
    is_symbol = rows["symbol"].str.fullmatch(SYMBOL.pattern).to_numpy(dtype=bool)
    is_size = shares.between(0.0, np.inf, inclusive="neither").to_numpy()
    reasons = first_faults(
        misfits(rows),
        faults(~is_symbol, "expected a symbol in capitals, as Yahoo writes it", rows["symbol"]),
        faults(~is_size, "expected a number of shares above 0", rows["shares"]),
    )
    if len(reasons):
        raise UsageError(f"{table.name} {reasons.iloc[0]}. Correct that line.")
    return {
        str(symbol): float(total) for symbol, total in shares.groupby(rows["symbol"]).sum().items()
    }


def plan_orders(
    settings: Settings,
    orders: Mapping[str, float],
    pace: Pace,
    *,
    now: Clock,
    as_of: date | None = None,
) -> Outcomes[dict[str, Any]]:
    """The document of each order, the slowest first; of a symbol without a forecast its error.

    Args:
        settings: Of the ledger.
        orders: Shares by symbol.
        pace: How they are traded.
        now: The clock that says which session is the newest.
        as_of: A past origin; None for the newest.
    """
    nights = each_report(
        settings.model_copy(update={"symbols": tuple(orders), "targets": ("volume",)}),
        as_of,
        now=now,
        brief=True,
    )
    documents = {}
    for symbol, night in nights.values.items():
        document = order_document(night, orders[symbol], pace)
        newest = last_completed(now(), night.exchange)
        if as_of is None and night.origin < newest:
            document["notices"] += [f"Stale: the newest completed session is {full_day(newest)}."]
        documents[symbol] = document
    slowest_first = sorted(documents, key=lambda symbol: -documents[symbol]["sessions_needed"])
    return Outcomes({symbol: documents[symbol] for symbol in slowest_first}, nights.errors)


def order_document(night: ReportData, shares: float, pace: Pace) -> dict[str, Any]:
    """When an order is done, by a night's forecasts, as JSON values.

    The chance that it is done by a session is that of a total of shares / participation or more.
    """
    if not 0.0 < shares < np.inf:
        raise UsageError(f"Invalid shares {shares:g} of {night.symbol}: expected more than 0.")
    quantiles = night.rows[list(QUANTILE_COLUMNS)].to_numpy(dtype=float)  # (H, Q)
    totals = np.concatenate([quantiles[:1], _totals(night)])  # (H, Q)
    needed = shares / pace.participation
    # Each total is interpolated for itself: without this a chance could fall with the sessions
    chances = np.maximum.accumulate([chance_of(total, needed) for total in totals])
    sessions = []
    by = done_by = None
    for at, line in enumerate(night.lines):
        one = {
            "session": line.session,
            "traded": (pace.participation * quantiles[at, [LOW_80, MEDIAN, HIGH_80]]).tolist(),
            "chance": float(chances[at]),
            "is_extrapolated": not QUANTILES[0] <= chances[at] <= QUANTILES[-1],
            # The share of the volume with which it is done by then with the chance asked for
            "takes": shares / amount_at(totals[at], max(1.0 - pace.chance, 1e-6)),
        }
        sessions.append(one)
        if line.session == pace.by:
            by = one
        if done_by is None and chances[at] >= pace.chance:
            done_by = line.session
    if pace.by is not None and by is None:
        known = f"{sessions[0]['session']} to {sessions[-1]['session']}"
        raise UsageError(f"Invalid by {pace.by}: expected a session that is forecast, {known}.")
    return {
        "symbol": night.symbol,
        "origin_session": night.origin,
        "shares": shares,
        "participation": pace.participation,
        "chance": pace.chance,
        "sessions": sessions,
        "done_by": done_by,
        "by": by,
        "sessions_needed": needed / totals[-1, MEDIAN] * len(HORIZONS),
        "notices": [f"{notice.title}: {notice.text}" for notice in notices(night)],
    }


def _totals(night: ReportData) -> Floats:
    """(H - 1, Q) the quantiles of the next 2 to H sessions together."""
    if not night.totals:
        raise StoreError(
            f"Expected totals among the forecasts of {night.symbol} of {night.origin}; found none: "
            "a release without them made its night. Run the next one."
        )
    return pd.DataFrame(night.totals)[list(QUANTILE_COLUMNS)].to_numpy(dtype=float)


def order_parts(documents: Sequence[Mapping[str, Any]]) -> Parts:
    """What is shown of one order, a row a session; of a book a row an order."""
    if len(documents) != 1:
        return _book_parts(documents)
    (order,) = documents
    chance = percent(order["chance"])
    rows: list[list[object]] = [
        [
            full_day(one["session"]),
            *(f"{shares:,.0f}" for shares in one["traded"]),
            _odds(one),
            _taken(one["takes"]),
        ]
        for one in order["sessions"]
    ]
    share = f"{100 * order['participation']:.3g}%"
    title = (
        f"{order['symbol']}: {order['shares']:,.0f} shares at {share} of the volume, forecast on "
        f"{full_day(order['origin_session'])}. {_done(order)}"
    )
    parts: Parts = [title, *order["notices"]]
    if order["by"] is not None:
        day = full_day(order["by"]["session"])
        takes = _taken(order["by"]["takes"])
        parts.append(f"To be done by {day} with {chance} it takes {takes} of the volume.")
    columns = ["session", "traded, 10%", "50%", "90%", "done by then", f"{chance} takes"]
    return [*parts, (columns, rows), CAUTION]


def _book_parts(orders: Sequence[Mapping[str, Any]]) -> Parts:
    rows: list[list[object]] = [
        [
            order["symbol"],
            f"{order['shares']:,.0f}",
            *map(_odds, order["sessions"]),
            " ".join([_done(order), *order["notices"]]),
        ]
        for order in orders
    ]
    counts = []
    for at, sessions in enumerate(HORIZONS):
        done = sum(order["sessions"][at]["chance"] >= order["chance"] for order in orders)
        counts.append(f"{done} within {sessions}")
    summary = f"Of {len(orders)} orders: {', '.join(counts)} sessions."
    return [(["symbol", "shares", *map(str, HORIZONS), "done"], rows), summary, CAUTION]


def _taken(share: float) -> str:
    return "over 100%" if share > 1.0 else percent(share, decimals=1)


def _odds(session: Mapping[str, Any]) -> str:
    """The chance in whole percent, from 1 to 99, with a star where it is extrapolated."""
    star = "*" if session["is_extrapolated"] else ""
    return f"{percent(min(max(session['chance'], 0.01), 0.99))}{star}"


def _done(order: Mapping[str, Any]) -> str:
    """By when, with the chance asked for."""
    if order["done_by"] is not None:
        return f"Done by {full_day(order['done_by'])} with {percent(order['chance'])}."
    return (
        f"Not within five sessions with {percent(order['chance'])}; at this pace about "
        f"{order['sessions_needed']:.1f}."
    )
