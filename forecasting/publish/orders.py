"""When orders are done that trade a share of the volume: from the newest published forecasts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from math import isnan, nan
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import StoreError, UsageError
from forecasting.ingest.sources.tables import faults, first_faults, misfits, read_file
from forecasting.plain_text import named, quantity
from forecasting.predict.totals import LONG, amount_at, chance_of
from forecasting.publish.export import each_stored
from forecasting.publish.pages import night_of
from forecasting.report.night_view import NightView
from forecasting.report.terminal import Parts
from forecasting.report.units import full_day, percent, short_day
from forecasting.report.words import notices
from forecasting.sessions import next_sessions
from forecasting.settings import Outcomes, Settings
from forecasting.values import SYMBOL, with_kind
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS, QUANTILES, Clock

_OF_SESSIONS = ("sessions", "by", "notices")

CAUTION = (
    "The forecast is of all trading, the order's included, as it was in the past; a large share "
    "moves the market. *: beyond the 5 or 95% quantile, extrapolated."
)

_ADDED_UP = "lines of the book added up. Nothing is netted: purchases and sales each take volume."
_LENGTHS = (*HORIZONS, *LONG)  # sessions within which a book says what is done
_THOUSANDS = r",(?=\d{3}\b)"  # of 1,000, which a spreadsheet writes


@dataclass(frozen=True)
class Order:
    """What is to be traded of a symbol."""

    shares: float
    limit: float = 1.0  # the highest share of a session's volume
    lines: int = 1  # of a book, purchases and sales added up


@dataclass(frozen=True)
class SessionPlan:
    """What is traded of an order by a session, with the chance that all is by then."""

    session: date
    traded: dict[str, float]  # shares by quantile of the volume; NaN beyond the forecasts
    done_chance: float
    is_extrapolated: bool
    # The share of the volume with which it is done by then with the chance asked for
    takes: float


@dataclass(frozen=True)
class OrderPlan:
    """When an order is done: the fields are keys of its JSON."""

    symbol: str
    origin_session: date
    is_stale: bool
    shares: float
    lines: int
    participation: float
    chance: float
    sessions: list[SessionPlan]
    done_by: date | None
    by: SessionPlan | None
    # With the chance asked for, beyond the last session at the pace up to then
    sessions_needed: float
    notices: dict[str, str]


@dataclass(frozen=True)
class Pace:
    """How orders are traded, and what is asked of them."""

    participation: float  # share of each session's volume
    chance: float  # with which an order is to be done
    by: date | None = None  # a session by which it is to be done; None for none


def pace_of(participation: object, chance: object, by: date | None = None) -> Pace:
    """The pace of shares that are numbers, as 0.1, or texts, as `10%`."""
    return Pace(
        _above_zero("participation", participation, most=1.0, example="10% or 0.1"),
        _above_zero("chance", chance, most=0.99, example="90% or 0.9"),
        by,
    )


def order_of(shares: object) -> Order:
    """The order of a number of shares, which may be a text."""
    return Order(_above_zero("shares", shares, most=1e15, example="3e6"))


def _above_zero(name: str, stated: object, *, most: float, example: str) -> float:
    number = _number(str(stated))
    if not 0.0 < number <= most:
        raise UsageError(
            f"Invalid {name} {str(stated)[:40]!r}: expected a number above 0 and up to {most:g}, "
            f"like {example}."
        )
    return number


def _number(text: str) -> float:
    """The number that a text is, a tenth of `10%`; NaN if it is none."""
    try:
        return float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        return np.nan


def read_orders(choice: str) -> dict[str, Order]:
    """The order of each symbol in the CSV file that FILE or csv:FILE names.

    Its lines are added up: neither a column side nor a minus changes anything, since a sale takes
    volume as a purchase does. The lowest of their `max` is the limit.
    """
    kind, _, path = with_kind(choice).partition(":")
    if kind != "csv" or not path:
        raise UsageError(
            f"Invalid --orders {choice[:100]!r}: expected FILE.csv with columns symbol and shares "
            "or qty."
        )
    table = read_file(Path(path), "csv", "orders", needed="orders")
    rows = table.rows
    if rows.empty:
        raise UsageError(f"Expected a line for each order in {table.name}; found only a header.")
    stated = rows["shares"].str.replace(_THOUSANDS, "", regex=True)
    shares = pd.to_numeric(stated, errors="coerce").abs()
    highest = rows.reindex(columns=["max"], fill_value="")["max"].str.strip()
    limits = highest.replace("", "100%").map(_number)
    is_symbol = rows["symbol"].str.fullmatch(SYMBOL.pattern).to_numpy(dtype=bool)
    is_size = shares.between(0.0, np.inf, inclusive="neither").to_numpy()
    is_limit = limits.between(0.0, 1.0, inclusive="right").to_numpy()
    reasons = first_faults(
        misfits(rows),
        faults(~is_symbol, "expected a symbol as Yahoo writes it", rows["symbol"]),
        faults(~is_size, "expected a number of shares, not 0", rows["shares"]),
        faults(~is_limit, "expected a max above 0 and up to 1, like 8% or 0.08", highest),
    )
    if len(reasons):
        raise UsageError(f"{table.name} {reasons.iloc[0]}. Correct that line.")
    each = pd.DataFrame({"shares": shares, "limit": limits}).groupby(rows["symbol"])
    return {
        str(symbol): Order(float(lines["shares"].sum()), float(lines["limit"].min()), len(lines))
        for symbol, lines in each
    }


def plan_orders(
    settings: Settings,
    orders: Mapping[str, Order],
    pace: Pace,
    *,
    now: Clock,
    as_of: date | None = None,
) -> Outcomes[OrderPlan]:
    """The plan of each order, the slowest first; of one that has none its error.

    Args:
        settings: Of the ledger.
        orders: By symbol.
        pace: How they are traded.
        now: The clock that says which session is the newest.
        as_of: A past origin; None for the newest.
    """
    of_orders = settings.model_copy(update={"symbols": tuple(orders), "targets": ("volume",)})

    def plan(of_symbol: Settings) -> OrderPlan:
        night = night_of(of_symbol, as_of, now=now, in_full=False)
        return planned_order(night, orders[night.symbol], pace, exchange=of_symbol.exchange)

    plans = each_stored(of_orders, plan)
    slowest_first = sorted(plans.values.items(), key=lambda plan: -plan[1].sessions_needed)
    return Outcomes(dict(slowest_first), plans.errors)


def plan_order(
    settings: Settings,
    symbol: str,
    order: Order,
    pace: Pace,
    *,
    now: Clock,
    as_of: date | None = None,
) -> OrderPlan:
    """When the order of one symbol is done, as of `plan_orders`; raises what stops it."""
    plans = plan_orders(settings, {symbol: order}, pace, now=now, as_of=as_of)
    plans.raise_failed()
    return plans.values[symbol]


def planned_order(
    night: NightView, order: Order, pace: Pace, *, exchange: str = "XNYS"
) -> OrderPlan:
    """When an order is done, by a night's forecasts, at the pace or its limit if that is lower."""
    pace = replace(pace, participation=min(pace.participation, order.limit))
    sessions = _sessions(night, order.shares, pace, exchange)
    by = next((one for one in sessions if one.session == pace.by), None)
    if pace.by is not None and by is None:
        known = named([str(one.session) for one in sessions], 5)
        raise UsageError(f"Invalid by {pace.by}: expected a session that is forecast: {known}.")
    done = [one.session for one in sessions if one.takes <= pace.participation]
    return OrderPlan(
        symbol=night.symbol,
        origin_session=night.origin,
        is_stale=night.newest is not None,
        shares=order.shares,
        lines=order.lines,
        participation=pace.participation,
        chance=pace.chance,
        sessions=sessions,
        done_by=min(done, default=None),
        by=by,
        sessions_needed=len(sessions) * sessions[-1].takes / pace.participation,
        notices=notices(night.conditions),
    )


def order_frame(order: OrderPlan) -> pd.DataFrame:
    """A row for each session of an order."""
    of_order = {name: value for name, value in vars(order).items() if name not in _OF_SESSIONS}
    rows = pd.DataFrame(order.sessions).rename(columns={"session": "target_session"})
    traded = pd.DataFrame(rows.pop("traded").tolist()).add_prefix("traded_")
    whole = pd.concat([rows, traded], axis=1).assign(**of_order)
    days = ["origin_session", "target_session", "done_by"]
    return whole.assign(**{day: pd.to_datetime(whole[day]).dt.as_unit("ns") for day in days})


def _sessions(night: NightView, shares: float, pace: Pace, exchange: str) -> list[SessionPlan]:
    """What is traded by each session, the chance that all is by then, and what that takes.

    Between 5, 10 and 20 sessions each quantile of their total is interpolated. Of a session beyond
    the forecasts what is traded is NaN.
    """
    if not night.totals:
        raise StoreError(
            f"Expected totals among the forecasts of {night.symbol} of {night.origin}; found none: "
            "its night has not written any. Run the next night."
        )
    rows = pd.DataFrame([asdict(night.forecasts[0]), *map(asdict, night.totals)])
    known = rows["horizon"]
    ahead = np.arange(1, known.iloc[-1] + 1)
    totals = np.column_stack([np.interp(ahead, known, rows[name]) for name in QUANTILE_COLUMNS])
    week = {row.target_session: row for row in night.forecasts}
    days = [*week, *next_sessions(max(week), len(ahead) - len(week), exchange)]
    needed = shares / pace.participation
    # Each total is interpolated for itself: without this a chance could fall with the sessions
    chances = np.maximum.accumulate([chance_of(total, needed) for total in totals])
    amounts = np.maximum.accumulate([amount_at(total, 1.0 - pace.chance) for total in totals])
    each = zip(days, chances.tolist(), amounts.tolist(), strict=True)
    return [
        SessionPlan(
            session=day,
            traded={
                name: pace.participation * getattr(week.get(day), name, nan)
                for name in ("q10", "q50", "q90")
            },
            done_chance=chance,
            is_extrapolated=not QUANTILES[0] <= chance <= QUANTILES[-1],
            takes=shares / amount,
        )
        for day, chance, amount in each
    ]


def order_parts(orders: Sequence[OrderPlan]) -> Parts:
    """What is shown of one order: a row a session that is forecast, and on until it is done."""
    (order,) = orders
    last = order.done_by or date.max
    rows = [
        [
            full_day(one.session),
            *("" if isnan(shares) else f"{shares:,.0f}" for shares in one.traded.values()),
            _odds(one),
            _taken(one),
        ]
        for place, one in enumerate(order.sessions)
        if place < len(HORIZONS) or one.session <= last
    ]
    title = (
        f"{order.symbol}: {order.shares:,.0f} shares at {_stated(order.participation)} of "
        f"the volume, forecast on {full_day(order.origin_session)}. {_answer(order)}"
    )
    columns = ["session", "traded: low", "median", "high", "done by then"]
    columns.append(f"{_stated(order.chance)} takes")
    about = f"Low, median, high: 10, 50 and 90% quantile. {CAUTION}"
    return [title, *_causes(orders), (columns, rows), about]


def book_parts(orders: Sequence[OrderPlan]) -> Parts:
    """What is shown of a book: a row an order, how many are done by when."""
    rows = [
        [
            order.symbol,
            f"{order.shares:,.0f}",
            _stated(order.participation),
            *("".join(map(_odds, order.sessions[length - 1 : length])) for length in _LENGTHS),
            _answer(order),
        ]
        for order in orders
    ]
    highest = max(order.participation for order in orders)
    limited = any(order.participation < highest for order in orders)
    title = (
        f"{quantity(len(orders), 'order')} at {_stated(highest)} of the volume"
        f"{' or at the max of the symbol' if limited else ''}, "
        f"with the chance that each is done within 1 to {LONG[-1]} sessions."
    )
    columns = ["symbol", "shares", "at", *map(str, _LENGTHS), "done"]
    added_up = [order.symbol for order in orders if order.lines > 1]
    about = f"{named(added_up, 5)}: {_ADDED_UP}" if added_up else ""
    return [title, (columns, rows), _sum(orders), about, *_causes(orders), CAUTION]


def _causes(orders: Sequence[OrderPlan]) -> list[str]:
    """Each notice once, after the symbols that it is of."""
    symbols = defaultdict[str, list[str]](list)
    for order in orders:
        for name, text in order.notices.items():
            symbols[f"{name}: {text}"].append(order.symbol)
    return [f"{named(some, 5)}: {cause}" for cause, some in symbols.items()]


def _sum(orders: Sequence[OrderPlan]) -> str:
    """How many orders are done by which day, of those whose forecast is of the newest origin."""
    newest = max(order.origin_session for order in orders)
    counted = [order for order in orders if order.origin_session == newest]
    days = sorted(order.done_by for order in counted if order.done_by)
    counts = {short_day(day): count for count, day in enumerate(days, 1)}
    done = ", ".join(f"{count} by {day}" for day, count in counts.items())
    return (
        f"Of {quantity(len(counted), 'order')} forecast on {full_day(newest)}, done with a chance "
        f"of {_stated(orders[0].chance)}: {done or 'none'}."
    )


def _stated(share: float) -> str:
    """A share as it was given, in percent."""
    return f"{100 * share:.6g}%"


def _odds(session: SessionPlan) -> str:
    """The chance in whole percent, below 1 and above 99 as such, with a star if extrapolated."""
    chance = session.done_chance
    if chance < 0.01:
        return "< 1%*"
    if chance > 0.99:
        return "> 99%*"
    return f"{percent(chance)}{'*' if session.is_extrapolated else ''}"


def _answer(order: OrderPlan) -> str:
    """What is asked of an order, with the chance asked for: a session's share, and by when."""
    chance = _stated(order.chance)
    known = len(order.sessions)
    # Rounded it is beyond them too
    sessions = max(order.sessions_needed, known + 0.1)
    answer = (
        f"Not done within {known} sessions with a chance of {chance}; at this pace it takes about "
        f"{sessions:.1f} sessions."
    )
    if order.done_by is not None:
        answer = f"Done by {full_day(order.done_by)} with a chance of {chance}."
    by = order.by
    if by is None:
        return answer
    aim = f"To be done by {full_day(by.session)} with a chance of {chance}"
    if by.takes > 1.0:
        return f"{aim} it needs more than the whole volume. {answer}"
    return f"{aim} it takes {_taken(by)} of the volume. {answer}"


def _taken(session: SessionPlan) -> str:
    """The share of the volume that an order takes to be done by a session, where there is one."""
    takes = session.takes
    return "not within this session" if takes > 1.0 else percent(takes, decimals=1)
