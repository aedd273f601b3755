"""When orders are done that trade a share of the volume: from the newest published forecasts."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import ForecastingError, StoreError, UsageError
from forecasting.ingest.sources.files import faults, first_faults, misfits, read_file
from forecasting.losses import Floats
from forecasting.night.symbols import Outcomes
from forecasting.plain_text import named, quantity
from forecasting.predict.totals import amount_at, chance_of
from forecasting.publish.pages import each_report
from forecasting.report.night_view import ReportData
from forecasting.report.terminal import Parts
from forecasting.report.units import full_day, percent, short_day
from forecasting.report.wording import notices
from forecasting.settings import Settings
from forecasting.values import SYMBOL
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS, QUANTILES, Clock

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
    return Pace(
        _share("participation", participation, most=1.0),
        _share("chance", chance, most=0.99),
        by,
    )


def _share(name: str, stated: object, *, most: float) -> float:
    text = str(stated)
    try:
        share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        share = np.nan
    if not 0.0 < share <= most:
        raise UsageError(
            f"Invalid {name} {text[:40]!r}: expected a share above 0 and up to {most:.0%}, such "
            "as 10% or 0.1."
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
    """The document of each order, the slowest first; of one that has none its error.

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
    errors = dict(nights.errors)
    for symbol, night in nights.values.items():
        try:
            documents[symbol] = order_document(night, orders[symbol], pace)
        except ForecastingError as error:  # as a session by which that an older night has not
            errors[symbol] = error
    slowest_first = sorted(documents, key=lambda symbol: -documents[symbol]["sessions_needed"])
    return Outcomes({symbol: documents[symbol] for symbol in slowest_first}, errors)


def order_document(night: ReportData, shares: float, pace: Pace) -> dict[str, Any]:
    """When an order is done, by a night's forecasts."""
    sessions = _sessions(night, shares, pace)
    by = next((one for one in sessions if one["session"] == pace.by), None)
    if pace.by is not None and by is None:
        known = f"{sessions[0]['session']} to {sessions[-1]['session']}"
        raise UsageError(f"Invalid by {pace.by}: expected a session that is forecast, {known}.")
    done = [one["session"] for one in sessions if one["takes"] <= pace.participation]
    texts = {notice.title: notice.text for notice in notices(night)}
    if night.newest is not None:  # also where the notice is that its night failed
        texts.setdefault("Stale", f"The newest completed session is {full_day(night.newest)}.")
    return {
        "symbol": night.symbol,
        "origin_session": night.origin,
        "is_stale": night.newest is not None,
        "shares": float(shares),
        "participation": pace.participation,
        "chance": pace.chance,
        "sessions": sessions,
        "done_by": next(iter(done), None),
        "by": by,
        # With the chance asked for, beyond the last session at the pace up to then
        "sessions_needed": len(HORIZONS) * sessions[-1]["takes"] / pace.participation,
        "notices": texts,
    }


def _sessions(night: ReportData, shares: float, pace: Pace) -> list[dict[str, Any]]:
    """By session: what is traded, the chance that all is by then, and what that takes."""
    if not isinstance(shares, int | float | np.number) or not 0.0 < shares < np.inf:
        raise UsageError(
            f"Invalid shares {shares!r:.40} of {night.symbol}: expected a number above 0."
        )
    totals = np.concatenate(
        [night.rows[list(QUANTILE_COLUMNS)].to_numpy(float)[:1], _totals(night)]
    )
    needed = shares / pace.participation
    # Each total is interpolated for itself: without this a chance could fall with the sessions
    chances = np.maximum.accumulate([chance_of(total, needed) for total in totals]).tolist()
    amounts = np.maximum.accumulate([amount_at(total, 1.0 - pace.chance) for total in totals])
    return [
        {
            "session": row["target_session"],
            "traded": {name: pace.participation * row[name] for name in ("q10", "q50", "q90")},
            "done_chance": chances[at],
            "is_extrapolated": not QUANTILES[0] <= chances[at] <= QUANTILES[-1],
            # The share of the volume with which it is done by then with the chance asked for
            "takes": float(shares / amounts[at]),
        }
        for at, row in enumerate(night.rows.to_dict("records"))
    ]


def _totals(night: ReportData) -> Floats:
    """(H - 1, Q) the quantiles of the next 2 to H sessions together."""
    if not night.totals:
        raise StoreError(
            f"Expected totals among the forecasts of {night.symbol} of {night.origin}; found none: "
            "a release without them made its night. Run the next one."
        )
    return pd.DataFrame(night.totals)[list(QUANTILE_COLUMNS)].to_numpy(dtype=float)


def order_parts(orders: Sequence[Mapping[str, Any]]) -> Parts:
    """What is shown of one order: a row a session."""
    (order,) = orders
    chance = _stated(order["chance"])
    rows: list[list[object]] = [
        [
            full_day(one["session"]),
            *(f"{shares:,.0f}" for shares in one["traded"].values()),
            _odds(one),
            _taken(one["takes"]),
        ]
        for one in order["sessions"]
    ]
    answer = _done(order)
    if order["by"] is not None:
        day = full_day(order["by"]["session"])
        takes = _taken(order["by"]["takes"])
        answer = f"To be done by {day} with {chance} it takes {takes} of the volume. {answer}"
    title = (
        f"{order['symbol']}: {order['shares']:,.0f} shares at {_stated(order['participation'])} of "
        f"the volume, forecast on {full_day(order['origin_session'])}. {answer}"
    )
    parts: Parts = [title, *(f"{name}: {text}" for name, text in order["notices"].items())]
    columns = ["session", "traded: low", "median", "high", "done by then", f"{chance} takes"]
    return [*parts, (columns, rows), f"Low, median, high: 10, 50 and 90% quantile. {CAUTION}"]


def book_parts(orders: Sequence[Mapping[str, Any]]) -> Parts:
    """What is shown of a book: a row an order, how many are done by when, each notice once."""
    columns = ["symbol", "shares", *map(str, HORIZONS), "done"]
    by = orders[0]["by"]
    if by is not None:
        columns.append(f"by {short_day(by['session'])} takes")
    rows: list[list[object]] = []
    causes = defaultdict[str, list[str]](list)
    for order in orders:
        stale = " Stale." if order["is_stale"] else ""
        row = [order["symbol"], f"{order['shares']:,.0f}", *map(_odds, order["sessions"])]
        row.append(_done(order) + stale)
        if by is not None:
            row.append(_taken(order["by"]["takes"]))
        rows.append(row)
        for name, text in order["notices"].items():
            causes[f"{name}: {text}"].append(order["symbol"])
    title = (
        f"{quantity(len(orders), 'order')} at {_stated(orders[0]['participation'])} of the volume, "
        f"with the chance that each is done within 1 to {len(HORIZONS)} sessions."
    )
    lines = [f"{named(symbols, 5)}: {cause}" for cause, symbols in causes.items()]
    return [title, (columns, rows), _sum(orders), *lines, CAUTION]


def _sum(orders: Sequence[Mapping[str, Any]]) -> str:
    """How many orders are done by which day, of those whose forecast is of the newest origin."""
    newest = max(order["origin_session"] for order in orders)
    counted = [order for order in orders if order["origin_session"] == newest]
    days = Counter(sorted(order["done_by"] for order in counted if order["done_by"]))
    done = [
        f"{count} by {short_day(day)}"
        for day, count in zip(days, accumulate(days.values()), strict=True)
    ]
    if not done:
        done = ["none within five sessions"]
    text = (
        f"Of {quantity(len(counted), 'order')} forecast on {full_day(newest)}, done with "
        f"{_stated(orders[0]['chance'])}: {', '.join(done)}."
    )
    older = len(orders) - len(counted)
    return f"{text} Left out: {older} forecast earlier." if older else text


def _stated(share: float) -> str:
    """A share as it was given, in percent."""
    return f"{100 * share:.6g}%"


def _taken(share: float) -> str:
    return "over 100%" if share > 1.0 else percent(share, decimals=1)


def _odds(session: Mapping[str, Any]) -> str:
    """The chance in whole percent, below 1 and above 99 as such, with a star if extrapolated."""
    chance = session["done_chance"]
    if chance < 0.01:
        return "< 1%*"
    if chance > 0.99:
        return "> 99%*"
    return f"{percent(chance)}{'*' if session['is_extrapolated'] else ''}"


def _done(order: Mapping[str, Any]) -> str:
    """By when, with the chance asked for."""
    chance = _stated(order["chance"])
    if order["done_by"] is not None:
        return f"Done by {full_day(order['done_by'])} with {chance}."
    # Rounded it is beyond five too
    sessions = max(order["sessions_needed"], 5.1)
    return f"Not within five sessions with {chance}; at this pace about {sessions:.1f}."
