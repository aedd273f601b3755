"""The canonical frame of bars: made, compared, and checked for its shape and by bar_rules.py."""

import hashlib
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
    """Canonical bars: `session`, ascending naive midnights, and six float64; a volume 0 is NaN."""
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
        "",
        "",
    )


def check_bars(
    fetched: Fetched, *, exchange: str, known: pd.DataFrame | None, of_index: bool = False
) -> tuple[pd.DataFrame, list[Finding]]:
    """The bars without rows that a rule rejects, and the findings on those and on doubtful ones.

    Flagged is only what is new or changed against the `known` current bars, or all without them. Of
    an index no volume is expected, and no move is doubtful; it is calculated on holidays too (the
    VIX since 2022), and its open by itself: on 47 of 8,623 sessions of the VIX it lies outside low
    .. high. A BadDataError for another shape, or other days.
    """
    check_shape(fetched)
    untraded = _untraded(fetched, exchange)
    bars = fetched.bars[~untraded] if of_index else fetched.bars
    bars, findings = without(bars, impossible_rows(bars, exchange, of_index=of_index))
    is_live = fetched.live and not of_index
    bars, more = without(bars, impossible_neighbours(bars, exchange, live=is_live))
    findings += more + _left_out(fetched, known, exchange)
    if not of_index:
        findings += doubts(
            bars,
            fetched.actions,
            known,
            changed_rows(bars, known),
        )
    return bars, sorted(findings, key=attrgetter("session", "rule"))


def _untraded(fetched: Fetched, exchange: str) -> NDArray[np.bool_]:
    """(D,) whether a bar is of a day without a session.

    A BadDataError above 1%: a time zone has shifted every date.
    """
    bars = fetched.bars
    days = pd.DatetimeIndex(bars.index)
    if days.empty:
        return np.zeros(0, dtype=bool)
    untraded = ~days.isin(sessions_index(days[0].date(), days[-1].date(), exchange))
    # Weekdays count with a volume alone: indices are calculated on holidays too, and Yahoo has
    # empty rows of holidays.
    off = untraded & (bars["volume"].notna().to_numpy() | (days.day_of_week >= 5))
    if off.sum() > OFF_CALENDAR_SHARE * len(days):
        raise BadDataError(
            f"{off.sum()} of {len(days)} bars of {fetched.symbol} from {fetched.source} lie on "
            f"days on which {name_of(exchange)} does not trade, the newest on "
            f"{days[off][-1]:%A, %Y-%m-%d}; expected at most {OFF_CALENDAR_SHARE:.0%}. Correct "
            "dates that a time zone has moved by a day, or name the exchange in "
            "FORECASTING_EXCHANGES."
        )
    return untraded


def _left_out(fetched: Fetched, known: pd.DataFrame | None, exchange: str) -> list[Finding]:
    """The findings on rows that could not be read and on sessions without a bar."""
    findings = []
    for row in fetched.unreadable:
        if fetched.first_asked <= row.session <= fetched.last_asked:
            detail = f"Left out, {row.reason}."
            finding = Finding(
                row.session,
                "row_unreadable",
                "reject",
                float(row.line),
                detail,
            )
            findings.append(finding)
    if fetched.bars.empty:
        return findings
    seen = fetched.bars.index
    first = seen[0].date()
    if known is not None and len(known):
        # Also between the stored bars and these
        first = min(first, max(fetched.first_asked, known.index[-1].date()))
        seen = seen.union(known.index)
    detail = "The exchange traded, but no bar of it has come yet."
    expected = sessions_index(first, fetched.last_asked, exchange)
    for day in expected[~expected.isin(seen)]:
        findings.append(
            Finding(
                day.date(),
                "missing_session",
                "flag",
                None,
                detail,
            )
        )
    return findings


def payload_hash(fetched: Fetched) -> str:
    """64 hex digits of symbol, sessions, prices to 4 decimals, volumes and actions."""
    digest = hashlib.sha256(fetched.symbol.encode())
    digest.update(pd.DatetimeIndex(fetched.bars.index).as_unit("s").asi8.tobytes())
    digest.update(np.round(fetched.bars[[*PRICES, "volume"]].to_numpy(), 4).tobytes())
    digest.update(fetched.actions.round({"value": 4}).to_csv(index=False).encode())
    return digest.hexdigest()


def changed_rows(bars: pd.DataFrame, known: pd.DataFrame | None) -> NDArray[np.bool_]:
    """(D,) whether a row is new or differs: in a price by over 1e-5, in a known volume at all."""
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
    """Raise a BadDataError that names the difference if a response is no canonical `Fetched`."""
    if not isinstance(fetched, Fetched):
        raise BadDataError(
            f"Expected a Fetched from the source's fetch; found {type(fetched).__name__}. Its code "
            "is of an installed package: correct it, or report it there."
        )
    for difference in (_other_fields, _other_bars, _other_actions):
        if wrong := difference(fetched):
            raise BadDataError(
                f"The source {fetched.source!r:.60} returned bars of {str(fetched.symbol)[:20]} in "
                f"another shape than the canonical one: {wrong}. In its code, build the frames "
                "with forecasting.ingest.bars.canonical and "
                "forecasting.ingest.actions.make_actions."
            )


def _other_fields(fetched: Fetched) -> str:
    """What differs from the types and lengths of the fields; empty if nothing does."""
    for field in fields(fetched):
        value = getattr(fetched, field.name)
        if not isinstance(value, _KINDS[field.type]) or isinstance(value, datetime):
            return f"expected {field.type} as {field.name}; found {type(value).__name__}"
    for name, longest in _LONGEST.items():
        if len(text := getattr(fetched, name)) > longest:
            return f"expected a text of at most {longest} characters as {name}; found {text[:30]!r}"
    if not all(isinstance(row, UnreadableRow) for row in fetched.unreadable):
        return "expected an UnreadableRow for each row of unreadable"
    return ""


def _other_bars(fetched: Fetched) -> str:
    """What differs from canonical bars of the requested span; empty if nothing does."""
    bars = fetched.bars
    days = bars.index
    if not isinstance(days, pd.DatetimeIndex) or not are_midnights(days.to_series()):
        first = list(map(str, days[:1]))
        return f"expected sessions as naive midnights; found {type(days).__name__} {first}"
    if not days.is_monotonic_increasing or days.has_duplicates:
        return "expected ascending, unique sessions"
    if len(days) and days[-1] > pd.Timestamp(fetched.last_asked):
        return f"expected no bar after {fetched.last_asked}, which was requested; found {days[-1]}"
    kinds = {str(name): str(kind) for name, kind in bars.dtypes.items()}
    if len(bars.columns) != len(COLUMNS) or kinds != dict.fromkeys(COLUMNS, "float64"):
        return f"expected float64 columns {', '.join(COLUMNS)}; found {kinds}"
    return ""


def _other_actions(fetched: Fetched) -> str:
    """What differs from the frame of `make_actions`; empty if nothing does."""
    actions = fetched.actions
    if list(actions.columns) != ["session", "kind", "value"]:
        return f"expected actions with session, kind, value; found {list(actions.columns)}"
    values = pd.to_numeric(actions["value"], errors="coerce").astype("float64")
    is_sound = actions["kind"].isin(("dividend", "split")) & (values > 0.0) & (values < np.inf)
    if is_sound.all() and are_midnights(actions["session"]):
        return ""
    wrong = actions[~is_sound].head(1).to_dict("records")
    return f"expected dividends and splits above 0 at naive midnights as actions; found {wrong}"


def are_midnights(days: pd.Series) -> bool:
    """Whether each value is a naive midnight."""
    if days.empty:
        return True
    return bool(pd.api.types.is_datetime64_dtype(days) and (days == days.dt.normalize()).all())
