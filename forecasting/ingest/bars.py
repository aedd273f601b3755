"""The canonical frame of bars: how it is made, its shape and rules (bar_rules.py) checked, and compared."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from datetime import date, datetime
from operator import attrgetter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.errors import BadDataError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import (
    PRICES,
    Finding,
    doubts,
    impossible_neighbours,
    impossible_rows,
    without,
)
from forecasting.ingest.sources import Fetched, UnreadableRow
from forecasting.sessions import name_of, sessions_index
from forecasting.targets import PRICE_TOLERANCE

COLUMNS = ["open", "high", "low", "close", "adj_close", "volume"]

_LONGEST = {"source": 300, "symbol": 15, "library_version": 60, "title": 1000, "currency": 6}
"""Most characters of each text."""

_KINDS: dict[object, type | tuple[type, ...]] = {  # by the annotation of a field
    "str": str,
    "date": date,
    "date | None": (date, type(None)),
    "bool": bool,
    "pd.DataFrame": pd.DataFrame,
    "tuple[UnreadableRow, ...]": tuple,
}

# Shares below which a volume is unknown: the ledger has whole ones, and Yahoo writes 0 for unknown
LEAST_VOLUME = 0.5
OFF_CALENDAR_SHARE = 0.01  # largest share of bars that may lie on days without a session


def canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Canonical bars: index `session`, naive midnights, ascending; six float64 columns.

    A volume of 0 becomes NaN.
    """
    bars = frame.reindex(columns=COLUMNS).astype("float64")
    bars.index = pd.DatetimeIndex(frame.index).as_unit("ns").rename("session")
    bars["volume"] = bars["volume"].where(bars["volume"].abs() >= LEAST_VOLUME)
    return bars.sort_index()


def no_bars() -> pd.DataFrame:
    """Canonical bars without a row."""
    return canonical(pd.DataFrame(index=pd.DatetimeIndex([])))


def nothing_fetched(source: str, symbol: str, first: date, last: date) -> Fetched:
    """The result of a failed request: no bars, for the requested span."""
    return Fetched(
        source,
        symbol,
        first,
        last,
        no_bars(),
        make_actions([]),
        library_version="",
        title="",
    )


def check_bars(
    fetched: Fetched, *, exchange: str, known: pd.DataFrame | None, of_index: bool = False
) -> tuple[pd.DataFrame, list[Finding]]:
    """The canonical bars without rows that a rule rejects, and the findings on rejected and doubtful ones, ascending.

    Flagged is only what is new or changed against the `known` current bars, or all without them. Of
    an index no volume is expected, and no move is doubtful; it is calculated on holidays too (the
    VIX since 2022), and its open by itself: on 47 of 8,623 sessions of the VIX it lies outside low
    .. high. A BadDataError for another shape, or other days.
    """
    check_shape(fetched)
    untraded = _untraded(fetched, exchange)
    bars = fetched.bars[~untraded] if of_index else fetched.bars
    rules = [
        rule
        for rule in impossible_rows(bars, exchange)
        if not (of_index and rule.name == "open_outside_range")
    ]
    bars, findings = without(bars, rules)
    bars, more = without(
        bars, impossible_neighbours(bars, exchange, live=fetched.live and not of_index)
    )
    flags = _left_out(fetched, known, exchange)
    if not of_index:
        flags += doubts(
            bars,
            fetched.actions,
            known,
            changed_rows(bars, known),
        )
    return bars, sorted([*findings, *more, *flags], key=attrgetter("session", "rule"))


def _untraded(fetched: Fetched, exchange: str) -> NDArray[np.bool_]:
    """(D,) whether a bar is of a day without a session; refused above 1%.

    A time zone has shifted every date.
    """
    days = pd.DatetimeIndex(fetched.bars.index)
    untraded = (
        ~days.isin(sessions_index(days[0].date(), days[-1].date(), exchange))
        if len(days)
        else np.zeros(0, bool)
    )
    # Weekdays count with a volume alone: indices are calculated on holidays too, and Yahoo has
    # empty rows of holidays.
    off = untraded & (fetched.bars["volume"].notna().to_numpy() | (days.day_of_week >= 5))
    if off.sum() > OFF_CALENDAR_SHARE * len(days):
        raise BadDataError(
            f"{off.sum()} of {len(days)} bars of {fetched.symbol} from {fetched.source} lie on "
            "days on which "
            f"{name_of(exchange)} does not trade, the newest on {days[off][-1]:%A, %Y-%m-%d}; "
            "expected at most "
            f"{OFF_CALENDAR_SHARE:.0%}. Correct dates that a time zone has moved by a day, or name "
            "the exchange in "
            "FORECASTING_EXCHANGES."
        )
    return untraded


def _left_out(fetched: Fetched, known: pd.DataFrame | None, exchange: str) -> list[Finding]:
    findings = [
        Finding(
            row.session,
            "row_unreadable",
            "reject",
            float(row.line),
            f"Left out, {row.reason}.",
        )
        for row in fetched.unreadable
        if fetched.first_asked <= row.session <= fetched.last_asked
    ]
    if fetched.bars.empty:
        return findings
    seen = fetched.bars.index
    first = fetched.bars.index[0].date()
    if known is not None and len(known):
        # Also between the stored bars and these
        first = min(first, max(fetched.first_asked, known.index[-1].date()))
        seen = seen.union(known.index)
    expected = sessions_index(first, fetched.last_asked, exchange)
    detail = "The exchange traded, but no bar of it has come yet."
    gaps = [
        Finding(
            day.date(),
            "missing_session",
            "flag",
            None,
            detail,
        )
        for day in expected[~expected.isin(seen)]
    ]
    return findings + gaps


def payload_hash(fetched: Fetched) -> str:
    """64 hex digits over symbol, sessions, prices to 4 decimals, volumes and actions.

    Not Adj Close, which moves.
    """
    digest = hashlib.sha256(fetched.symbol.encode())
    digest.update(pd.DatetimeIndex(fetched.bars.index).as_unit("s").asi8.tobytes())
    digest.update(np.round(fetched.bars[[*PRICES, "volume"]].to_numpy(), 4).tobytes())
    digest.update(fetched.actions.round({"value": 4}).to_csv(index=False).encode())
    return digest.hexdigest()


def changed_rows(bars: pd.DataFrame, known: pd.DataFrame | None) -> NDArray[np.bool_]:
    """(D,) whether a row is new, or differs from the known one.

    Prices beyond 1e-5 relative, a known volume at all.
    """
    if known is None or known.empty:
        return np.ones(len(bars), dtype=bool)
    before = known[[*PRICES, "volume"]].reindex(bars.index).to_numpy()
    now = bars[[*PRICES, "volume"]].to_numpy()
    same = np.isclose(
        now,
        before,
        rtol=PRICE_TOLERANCE,
        atol=0.0,
        equal_nan=True,
    )
    same[:, 4] = (now[:, 4] == before[:, 4]) | np.isnan(now[:, 4])
    return np.asarray(~(same.all(axis=1) & bars.index.isin(known.index)))


def check_shape(fetched: object) -> None:
    """Return when a response is a `Fetched` of the shape that it states.

    Else a BadDataError names what differs.
    """
    if not isinstance(fetched, Fetched):
        raise BadDataError(
            f"Expected a Fetched from the source's fetch; found {type(fetched).__name__}. Its code "
            "is of an installed "
            "package: correct it, or report it there."
        )
    wrong = next(_differences(fetched), "")
    if wrong:
        raise BadDataError(
            f"The source {fetched.source!r:.60} returned bars of {str(fetched.symbol)[:20]} in "
            "another shape than the "
            f"canonical one: {wrong}. In its code, build the frame with "
            "forecasting.ingest.bars.canonical."
        )


def _differences(fetched: Fetched) -> Iterator[str]:
    """What differs from the canonical shape, in words.

    Only the first is sure to be found without an error.
    """
    for field in fields(fetched):
        found = getattr(fetched, field.name)
        if not isinstance(found, _KINDS[field.type]) or isinstance(found, datetime):
            yield f"expected {field.type} as {field.name}; found {type(found).__name__}"
    for name, longest in _LONGEST.items():
        if len(text := getattr(fetched, name)) > longest:
            yield f"expected a text of at most {longest} characters as {name}; found {text[:30]!r}"
    if not all(isinstance(row, UnreadableRow) for row in fetched.unreadable):
        yield "expected an UnreadableRow for each row of unreadable"
    bars = fetched.bars
    actions = fetched.actions
    days = fetched.bars.index
    if not isinstance(days, pd.DatetimeIndex):
        yield f"expected an index of timestamps; found {type(days).__name__} of {days.dtype}"
        return
    if days.hasnans:
        yield "expected a day in every row; found NaT"
    if days.tz is not None or (days != days.normalize()).any():
        yield f"expected sessions as naive midnights; found {days[0]}"
    if not days.is_monotonic_increasing or days.has_duplicates:
        yield "expected ascending, unique sessions"
    if len(days) and days[-1] > pd.Timestamp(fetched.last_asked):
        yield (
            f"expected no bar after {fetched.last_asked}, the last session requested; found "
            f"{days[-1]:%Y-%m-%d}"
        )
    if sorted(map(str, bars.columns)) != sorted(COLUMNS):
        yield (
            f"expected the columns {', '.join(COLUMNS)}; found {', '.join(map(str, bars.columns))}"
        )
    if other := [f"{name} of {kind}" for name, kind in bars.dtypes.items() if kind != "float64"]:
        yield f"expected float64 in every column, NaN where unknown; found {', '.join(other)}"
    if list(actions.columns) != ["session", "kind", "value"]:
        yield (
            "expected actions with the columns session, kind, value; found "
            f"{', '.join(map(str, actions.columns))}"
        )
    if other := sorted(set(actions["kind"].map(str)) - {"dividend", "split"}):
        yield (
            f"expected actions of kind dividend or split; found {', '.join(map(repr, other))[:100]}"
        )
    if not are_midnights(actions["session"]):
        yield "expected naive midnights as sessions of actions"
    values = pd.to_numeric(actions["value"], errors="coerce").to_numpy(
        dtype="float64", na_value=np.nan
    )
    if not (np.isfinite(values) & (values > 0.0)).all():
        yield "expected a finite number above 0 as value of each action"


def are_midnights(days: pd.Series) -> bool:
    """Whether each value is a naive midnight."""
    if days.empty:
        return True
    return bool(pd.api.types.is_datetime64_dtype(days) and (days == days.dt.normalize()).all())
