"""The canonical frame of bars: how it is made, its shape and rules (bar_rules.py) checked, and compared."""

import hashlib
from datetime import date, datetime
from operator import attrgetter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.errors import BadDataError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import (
    PRICES,
    SPIKE_REJECT,
    Finding,
    doubts,
    findings_of,
    impossible_neighbours,
    impossible_rows,
    spike_rule,
    unknown_volume,
    without,
)
from forecasting.ingest.sources import Fetched, UnreadableRow
from forecasting.sessions import sessions_index

COLUMNS = ["open", "high", "low", "close", "adj_close", "volume"]

_LONGEST = {"source": 300, "symbol": 15, "library_version": 60, "title": 1000, "currency": 6}
"""Most characters of each text."""

LEAST_VOLUME = 0.5
"""Shares below which a volume is 0, which is unknown: the ledger has whole shares."""

_IN_ORDER = attrgetter("session", "rule")

OFF_CALENDAR_SHARE = 0.01
"""Largest share of bars that may lie on days without a session."""

PRICE_TOLERANCE = 1e-5
"""Relative difference up to which two prices are the same; prices in Yahoo's responses jitter below it."""


def canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` as canonical bars: naive midnight index `session`, ascending; six float64 columns; volume 0 becomes NaN.

    Yahoo writes 0 for an unknown volume, and every liquid stock trades each session: 0 is unknown, never a number.
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
    return Fetched(source, symbol, first, last, no_bars(), make_actions([]), library_version="", title="")


def check_bars(fetched: Fetched, *, exchange: str, known: pd.DataFrame | None) -> tuple[pd.DataFrame, list[Finding]]:
    """The bars that no rule rejects, and the findings on rejected and doubtful ones.

    Args:
        fetched: The response of a source.
        exchange: Exchange whose calendar defines the sessions.
        known: The stored current bars. Only rows that are new or changed against them are flagged; a persistent finding
            (`Finding.is_persistent`) is reported while the response shows it and the stored bars lack it. None: all.

    Returns:
        The canonical bars without rejected rows, and the findings, ascending by session.

    Raises:
        BadDataError: The source returned bars of another shape than the canonical one, or of other days.
    """
    check_shape(fetched)
    _check_days(fetched, exchange)
    bars, findings = without(fetched.bars, impossible_rows(fetched.bars, exchange))
    bars, more = without(bars, impossible_neighbours(bars, exchange, live=fetched.live))
    changed = changed_rows(bars, known)
    flags = [flag for rule in doubts(bars, fetched.actions) for flag in findings_of(bars, rule, rule.broken & changed)]
    unknown = unknown_volume(bars, known)
    flags += findings_of(bars, unknown, unknown.broken)
    return bars, sorted([*findings, *more, *flags, *_left_out(fetched, known, exchange=exchange)], key=_IN_ORDER)


def check_index_bars(
    fetched: Fetched, *, exchange: str, known: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[Finding]]:
    """As `check_bars` for an index: impossible rows are rejected; no volume is expected, and no move is doubtful.

    An index is calculated on holidays too (the VIX since 2022): those rows are left out without a finding. Its open is
    calculated by itself, and on 47 of 8,623 sessions of the VIX lies outside low .. high.
    """
    check_shape(fetched)
    _check_days(fetched, exchange)
    days = fetched.bars.index
    traded = days[days.isin(sessions_index(days[0].date(), days[-1].date(), exchange))] if len(days) else days
    rules = [rule for rule in impossible_rows(fetched.bars.loc[traded], exchange) if rule.name != "open_outside_range"]
    bars, findings = without(fetched.bars.loc[traded], rules)
    bars, spikes = without(bars, [spike_rule(bars, SPIKE_REJECT)])
    return bars, sorted([*findings, *spikes, *_left_out(fetched, known, exchange=exchange)], key=_IN_ORDER)


def _check_days(fetched: Fetched, exchange: str) -> None:
    """Refuse bars of which more than 1 % lie on days without a session: a time zone has shifted every date.

    Weekdays count with a volume alone: indices are calculated on holidays too, and Yahoo has empty rows of holidays.
    """
    days = pd.DatetimeIndex(fetched.bars.index)
    if not len(days):
        return
    off = ~days.isin(sessions_index(days[0].date(), days[-1].date(), exchange))
    off &= fetched.bars["volume"].notna().to_numpy() | (days.day_of_week >= 5)
    if off.sum() > OFF_CALENDAR_SHARE * len(days):
        raise BadDataError(
            f"{off.sum()} of {len(days)} bars of {fetched.symbol} from {fetched.source} lie on days on which "
            f"{exchange} does not trade, the newest on {days[off][-1]:%A, %Y-%m-%d}; expected at most "
            f"{OFF_CALENDAR_SHARE:.0%}. Correct dates that a time zone has moved by a day, or name the exchange in "
            "FORECASTING_EXCHANGES."
        )


def _left_out(fetched: Fetched, known: pd.DataFrame | None, *, exchange: str) -> list[Finding]:
    """Findings on rows that the source left out as unreadable, and on sessions without a row."""
    unreadable = [
        Finding(row.session, "row_unreadable", "reject", float(row.line), f"Left out, {row.reason}.")
        for row in fetched.unreadable
        if fetched.first_asked <= row.session <= fetched.last_asked
    ]
    gaps = [
        Finding(day, "missing_session", "flag", None, "The exchange traded, but no bar of it has come yet.")
        for day in _unexplained_gaps(fetched, known, exchange)
    ]
    return [*unreadable, *gaps]


def missing_sessions(bars: pd.DataFrame, first: date, last: date, exchange: str = "XNYS") -> list[date]:
    """The sessions from `first` to `last` that `bars` lacks, ascending; they are never filled with imputed values."""
    expected = sessions_index(first, last, exchange)
    return [day.date() for day in expected[~expected.isin(bars.index)]]


def payload_hash(fetched: Fetched) -> str:
    """64 hex digits over symbol, sessions, prices to 4 decimals, volumes and actions.

    Adj Close is excluded: every dividend rewrites it, and Yahoo's responses differ in its sixth digit.
    """
    digest = hashlib.sha256(fetched.symbol.encode())
    digest.update(pd.DatetimeIndex(fetched.bars.index).as_unit("s").asi8.tobytes())
    digest.update(np.round(fetched.bars[[*PRICES, "volume"]].to_numpy(), 4).tobytes())
    digest.update(fetched.actions.round({"value": 4}).to_csv(index=False).encode())
    return digest.hexdigest()


def changed_rows(bars: pd.DataFrame, known: pd.DataFrame | None) -> NDArray[np.bool_]:
    """(D,) whether a row is new, or differs from the known one: prices beyond 1e-5 relative, volume at all.

    An unknown volume is no difference: it never overwrites a known one.
    """
    if known is None or known.empty:
        return np.ones(len(bars), dtype=bool)
    before = known[[*PRICES, "volume"]].reindex(bars.index).to_numpy()
    now = bars[[*PRICES, "volume"]].to_numpy()
    same = np.isclose(now, before, rtol=PRICE_TOLERANCE, atol=0.0, equal_nan=True)
    same[:, 4] = (now[:, 4] == before[:, 4]) | np.isnan(now[:, 4])
    return np.asarray(~(same.all(axis=1) & bars.index.isin(known.index)))


def _unexplained_gaps(fetched: Fetched, known: pd.DataFrame | None, exchange: str) -> list[date]:
    if fetched.bars.empty:
        return []
    first = fetched.bars.index[0].date()
    if known is None or known.empty:
        return missing_sessions(fetched.bars, first, fetched.last_asked, exchange)
    seen = fetched.bars.index.union(known.index).to_frame()
    first = min(first, max(fetched.first_asked, known.index[-1].date()))  # also between the stored bars and these
    return missing_sessions(seen, first, fetched.last_asked, exchange)


def check_shape(fetched: object) -> None:
    """Return when a response is a `Fetched` whose fields, bars and actions have the shape that it states.

    Raises:
        BadDataError: Names the source, what was expected and what was found.
    """
    if not isinstance(fetched, Fetched):
        raise BadDataError(
            f"Expected a Fetched from the source's fetch; found {type(fetched).__name__}. Its code is of an installed "
            "package: correct it, or report it there."
        )
    wrong = (
        _wrong_fields(fetched)
        or _wrong_index(fetched)
        or _wrong_columns(fetched.bars)
        or _wrong_actions(fetched.actions)
    )
    if wrong:
        raise BadDataError(
            f"The source {fetched.source!r:.60} returned bars of {str(fetched.symbol)[:20]} in another shape than the "
            f"canonical one: {wrong}. In its code, build the frame with forecasting.ingest.bars.canonical."
        )


def _wrong_fields(fetched: Fetched) -> str:
    for name, longest in _LONGEST.items():
        text = getattr(fetched, name)
        if not isinstance(text, str) or len(text) > longest:
            found = repr(text[:30]) if isinstance(text, str) else type(text).__name__
            return f"expected a text of at most {longest} characters as {name}; found {found}"
    for name in ("first_asked", "last_asked", "newest"):
        day = getattr(fetched, name)
        if not (isinstance(day, date) and not isinstance(day, datetime)) and not (day is None and name == "newest"):
            return f"expected a date as {name}; found {type(day).__name__}"
    if not all(isinstance(getattr(fetched, name), bool) for name in ("live", "names_symbol")):
        return "expected True or False as live and names_symbol"
    rows: object = fetched.unreadable
    if not isinstance(rows, tuple) or not all(isinstance(row, UnreadableRow) for row in rows):
        return "expected a tuple of UnreadableRow as unreadable"
    frames = all(isinstance(getattr(fetched, name), pd.DataFrame) for name in ("bars", "actions"))
    return "" if frames else "expected frames as bars and actions"


def _wrong_index(fetched: Fetched) -> str:
    days = fetched.bars.index
    if not isinstance(days, pd.DatetimeIndex):
        return f"expected an index of timestamps; found {type(days).__name__} of {days.dtype}"
    if days.hasnans:
        return "expected a day in every row; found NaT"
    if days.tz is not None or (days != days.normalize()).any():
        return f"expected sessions as naive midnights; found {days[0]}"
    if not days.is_monotonic_increasing or days.has_duplicates:
        return "expected ascending, unique sessions"
    if len(days) and days[-1] > pd.Timestamp(fetched.last_asked):
        return f"expected no bar after {fetched.last_asked}, the last session requested; found {days[-1]:%Y-%m-%d}"
    return ""


def _wrong_columns(bars: pd.DataFrame) -> str:
    if sorted(map(str, bars.columns)) != sorted(COLUMNS):
        return f"expected the columns {', '.join(COLUMNS)}; found {', '.join(map(str, bars.columns))}"
    other = [f"{name} of {kind}" for name, kind in bars.dtypes.items() if kind != "float64"]
    return f"expected float64 in every column, NaN where unknown; found {', '.join(other)}" if other else ""


def _wrong_actions(actions: pd.DataFrame) -> str:
    if list(actions.columns) != ["session", "kind", "value"]:
        return f"expected actions with the columns session, kind, value; found {', '.join(map(str, actions.columns))}"
    other = sorted(set(actions["kind"].map(str)) - {"dividend", "split"})
    if other:
        return f"expected actions of kind dividend or split; found {', '.join(map(repr, other))[:100]}"
    if not are_midnights(actions["session"]):
        return "expected naive midnights as sessions of actions"
    values = pd.to_numeric(actions["value"], errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    if not (np.isfinite(values) & (values > 0.0)).all():
        return "expected a finite number above 0 as value of each action"
    return ""


def are_midnights(days: pd.Series) -> bool:
    """Whether each value is a naive midnight."""
    if days.empty:
        return True
    return bool(pd.api.types.is_datetime64_dtype(days) and (days == days.dt.normalize()).all())
