"""Seeded rows of a ledger of many symbols, night by night, as columns: synthetic numbers of realistic shape.

A night of a symbol is a fetch, its bar versions, a run, a network, a promotion, five horizons of champion, challenger
and three baselines, and the scores against the night's bar and the bar settled by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.evaluate.scores import inside, interval_score
from forecasting.losses import pinball
from forecasting.predict.calibration import H, Q
from forecasting.preprocess.features import WARM_UP
from forecasting.sessions import next_sessions, sessions_index, shift
from forecasting.settings import Settings
from forecasting.store import tables
from forecasting.store.tables.types import UtcDateTime
from forecasting.train.baselines import baseline_names
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILE_COLUMNS

Values = Any
"""One value for all rows, or an array or list with one per row."""

Columns = dict[str, Values]
"""Values by the names of a table's columns."""

TARGET, SOURCE = "volume", "yahoo"
BASELINES = baseline_names(TARGET)[-3:]
ROLES = ("champion", "challenger", *("baseline" for _ in BASELINES))
HISTORY = Settings.model_fields["train_sessions"].default + WARM_UP
"""Sessions before its own whose bars the first night fetches."""

FUTURE_SESSIONS = 30
"""Sessions after the newest one loaded: the targets of its forecasts, and the nights that measurements add."""

_DISTANCE = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64])  # of the quantiles, in standard deviations
_RESTATED = 0.35  # share of the bars whose volume the next fetch revises
_AROUND = {"open": 1.0, "high": 1.01, "low": 0.99, "close": 1.0}  # of the close
_MORNING = np.timedelta64(33 * 60 + 30, "m")  # 09:30 UTC on the day after the session


@dataclass(frozen=True)
class Market:
    """S symbols over D sessions, the last FUTURE_SESSIONS of them after the nights that are loaded.

    Attributes:
        symbols: (S,) names.
        sessions: (D,) datetime64[D].
        close: (S, D) US dollars.
        volume: (S, D) shares, as settled.
        first_volume: (S, D) shares, as first printed.
        first_night: Position of the first night's session.
        seed: Seed of all random numbers.
    """

    symbols: list[str]
    sessions: NDArray[np.datetime64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    first_volume: NDArray[np.float64]
    first_night: int
    seed: int

    @property
    def last_night(self) -> int:
        """Position of the newest session that has a night."""
        return len(self.sessions) - 1 - FUTURE_SESSIONS

    def day(self, position: int) -> date:
        """The session at a position."""
        found: date = self.sessions[position].astype(object)
        return found


def make_market(symbols: int, years: float, *, last: date, seed: int) -> Market:
    """Random walks for prices, autoregressive volumes, restated in a third of the sessions."""
    rng = np.random.default_rng(seed)
    nights = round(252 * years)
    first, beyond = shift(last, 1 - nights - HISTORY), next_sessions(last, FUTURE_SESSIONS)[-1]
    sessions = sessions_index(first, beyond).to_numpy().astype("datetime64[D]")
    shape = (symbols, len(sessions))
    log_volume = rng.normal(0.0, 0.25, shape)
    for t in range(1, shape[1]):
        log_volume[:, t] += 0.6 * log_volume[:, t - 1]
    volume = np.round(np.exp(log_volume + rng.normal(15.5, 1.0, (symbols, 1))))
    restated = rng.random(shape) < _RESTATED
    close = np.round(60.0 * np.exp(np.cumsum(rng.normal(0.0, 0.012, shape), axis=1)), 4)
    first_volume = np.where(restated, np.round(volume * 0.98), volume)
    return Market([f"S{i:04d}" for i in range(symbols)], sessions, close, volume, first_volume, HISTORY, seed)


def nights(market: Market, settings: Settings, *, stop: Callable[[], bool]) -> Iterator[dict[str, Columns]]:
    """Each night's rows by table, oldest night first, parents before children.

    A night's bar is part of the next night, when its settled value is known; the newest bar, provisional, comes after
    all nights or once `stop` returns True.
    """
    champions = _ids("model", market, market.first_night - 1)
    issued: dict[int, tuple[NDArray[np.float64], NDArray[Any], NDArray[np.datetime64]]] = {}
    texts = calibration_texts(market.seed)
    for night in range(market.first_night, market.last_night + 1):
        if stop():
            break
        rng = np.random.default_rng([market.seed, night])
        challengers = _ids("model", market, night)
        models = np.stack([champions, challengers, *(_ids(name, market, 0) for name in BASELINES)], axis=1)
        issued[night] = (_quantiles(market, night, rng), models, _issued_at(market, night))
        issued.pop(night - H - 2, None)
        winners = np.where(rng.random(len(champions)) < 0.1, challengers, champions)
        yield {
            "runs": _runs(market, night, settings),
            "fetches": _fetches(market, night),
            "bar_versions": _bar_versions(market, night - 1),
            "models": _models(market, night, settings),
            "forecasts": _forecasts(
                market, night, issued[night], texts[rng.integers(len(texts), size=(len(models), 2, H))]
            ),
            "scores": _scores(market, night, issued),
            "promotions": _promotions(market, night, champions, winners),
        }
        champions, newest = winners, night
    yield {"bar_versions": _bars(market, night=newest, is_newest=True)}


def next_night(
    market: Market, night: int, settings: Settings, *, champions: NDArray[np.object_]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """One more night, as symbol -> table -> rows for the ledger's writers, without its scores.

    Args:
        market: As loaded.
        night: Position of the night's session, the one after the newest loaded.
        settings: The rows hold its hash.
        champions: (S,) ids of the champions.
    """
    rng, challengers = np.random.default_rng([market.seed, night]), _ids("model", market, night)
    models = np.stack([champions, challengers, *(_ids(name, market, 0) for name in BASELINES)], axis=1)
    issued = (_quantiles(market, night, rng), models, _issued_at(market, night))
    texts = calibration_texts(market.seed)[rng.integers(1000, size=(len(models), 2, H))]
    again = _bars(market, night=night - 1, version=2)
    restated = {name: values[_is_restated(market, night - 1)] for name, values in again.items()}
    newest = _bars(market, night=night, is_newest=True)
    columns = {
        "runs": _runs(market, night, settings),
        "fetches": _fetches(market, night),
        "bar_versions": {name: np.concatenate([newest[name], restated[name]]) for name in newest},
        "models": _models(market, night, settings),
        "forecasts": _forecasts(market, night, issued, texts),
        "promotions": _promotions(market, night, champions, champions),
    }
    found: dict[str, dict[str, list[dict[str, Any]]]] = {symbol: {} for symbol in market.symbols}
    for table, values in columns.items():
        for row in _records(table, values):
            found[row["symbol"]].setdefault(table, []).append(row)
    return found


def window_of(market: Market, place: int, night: int) -> pd.DataFrame:
    """The canonical bars of the fetch of a symbol's night: its training window."""
    span = slice(max(night - HISTORY, 0), night + 1)
    close = market.close[place, span]
    bars = pd.DataFrame(
        {name: close * factor for name, factor in _AROUND.items()},
        index=pd.DatetimeIndex(market.sessions[span], name="session").as_unit("ns"),
    )
    volume = market.volume[place, span].copy()
    volume[-1] = market.first_volume[place, night]
    return bars.assign(adj_close=close, volume=volume)


def calibration_texts(seed: int) -> NDArray[np.object_]:
    """(1000,) JSON texts as long as the calibration of a network's forecast."""
    rng = np.random.default_rng(seed)

    def listed(values: NDArray[np.float64]) -> str:
        return "[" + ", ".join(repr(float(value)) for value in values) + "]"

    return np.array(
        [
            f'{{"network": {listed(np.sort(rng.normal(size=Q)))}, "partner": {listed(np.sort(rng.normal(size=Q)))}, '
            f'"level": {rng.normal(15.5)!r}, "spread": {abs(rng.normal(0.3, 0.02))!r}, "weight": 0.8, '
            f'"factors": {listed(rng.uniform(0.8, 1.2, Q))}}}'
            for _ in range(1000)
        ],
        dtype=object,
    )


def _runs(market: Market, night: int, settings: Settings) -> Columns:
    return {
        "id": _ids("run", market, night),
        "as_of": market.sessions[night],
        "symbol": market.symbols,
        "target": TARGET,
        "source": SOURCE,
        "trigger": "schedule",
        "status": "done",
        "mode": "warm",
        "mode_reason": "1 session since the last fit from scratch",
        "started_at": _issued_at(market, night),
        "finished_at": _issued_at(market, night) + np.timedelta64(9, "s"),
        **{f"seconds_{stage}": 1.5 for stage in ("ingest", "preprocess", "train", "predict", "evaluate")},
        "flow_run_id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        "code_version": "0.1.0+3f9c2ab",
        "settings_hash": settings.hash,
        "settings": json.dumps(settings.forecast_fields(), sort_keys=True),
    }


def _fetches(market: Market, night: int) -> Columns:
    return {
        "id": _ids("fetch", market, night),
        "run_id": _ids("run", market, night),
        "source": SOURCE,
        "symbol": market.symbols,
        "title": "a made-up company, daily",
        "first_asked": market.sessions[0],
        "last_asked": market.sessions[night],
        "first_received": market.sessions[0],
        "last_received": market.sessions[night],
        "fetched_at": _issued_at(market, night),
        "row_count": night + 1,
        "payload_hash": "0" * 64,
        "library_version": "yfinance 1.7.0",
        "verdict": "extended",
        "detail": "1 new session",
    }


def _bar_versions(market: Market, position: int) -> Columns:
    """The bars of a session after its next night: first print, and the settled version if it was restated.

    Before the first night: the whole history, settled by it.
    """
    if position >= market.first_night:
        printed, again = _bars(market, night=position), _bars(market, night=position, version=2)
        restated = _is_restated(market, position)
        return {name: np.concatenate([printed[name], again[name][restated]]) for name in printed}
    count, days = len(market.symbols), market.first_night
    fetched = _bars(market, night=market.first_night)
    prices = market.close[:, :days].ravel()
    return {name: np.repeat(values, days) for name, values in fetched.items()} | {
        "session": np.tile(market.sessions[:days], count),
        **{name: prices * factor for name, factor in _AROUND.items()},
        "volume": market.volume[:, :days].ravel().astype(np.int64),
        "superseded_at": np.full(count * days, np.datetime64("NaT", "us")),
        "settled_at": np.repeat(fetched["first_seen_at"], days),
    }


def _bars(market: Market, *, night: int, version: int = 1, is_newest: bool = False) -> Columns:
    """One version of the night's bar of every symbol."""
    count, unset = len(market.symbols), np.datetime64("NaT", "us")
    seen = night + version - 1
    superseded = _is_restated(market, night) & (version == 1) & (not is_newest)
    volume = (market.first_volume if version == 1 else market.volume)[:, night]
    next_night = _issued_at(market, night + 1)
    return {
        "symbol": np.array(market.symbols, dtype=object),
        "session": np.full(count, market.sessions[night]),
        "version": np.full(count, version),
        **{name: market.close[:, night] * factor for name, factor in _AROUND.items()},
        "volume": volume.astype(np.int64),
        "fetch_id": _ids("fetch", market, seen),
        "first_seen_at": np.full(count, _issued_at(market, seen)),
        "superseded_at": np.where(superseded, next_night, unset),
        "settled_at": np.where(superseded | is_newest, unset, next_night),
    }


def _models(market: Market, night: int, settings: Settings) -> Columns:
    """The night's network for each symbol; the first night adds the first champion and the baselines."""
    count, names, ids = len(market.symbols), ["lstm"], [_ids("model", market, night)]
    if night == market.first_night:
        names += ["lstm", *BASELINES]
        ids += [_ids("model", market, night - 1), *(_ids(name, market, 0) for name in BASELINES)]
    network = np.repeat([name == "lstm" for name in names], count)
    return {
        "id": np.concatenate(ids),
        "name": np.repeat(np.array(names, dtype=object), count),
        "version": "1",
        "method": np.where(network, "warm", "baseline").astype(object),
        "symbol": market.symbols * len(names),
        "target": TARGET,
        "scope": "symbol",
        "seed": 0,
        "trained_from": market.sessions[0],
        "trained_to": market.sessions[night],
        "epochs": 3,
        "chain_epochs": 3,
        "settings_hash": settings.hash,
        "code_version": "0.1.0+3f9c2ab",
        "run_id": np.tile(_ids("run", market, night), len(names)),
        "artifact_hash": "0" * 64,
        "seconds": 1.5,
        "created_at": _issued_at(market, night),
    }


def _quantiles(market: Market, night: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(S, models, H, Q) in shares; the network's are a little better than the baselines'."""
    shape = (len(market.symbols), len(ROLES), H)
    noise = rng.normal(0.0, 1.0, shape) * np.array([0.2, 0.2, 0.25, 0.25, 0.22])[None, :, None]
    centre = np.log(market.volume[:, night + 1 : night + 1 + H])[:, None, :] + noise
    return np.exp(centre[..., None] + 0.25 * _DISTANCE)


def _forecasts(market: Market, night: int, issued: tuple[Any, Any, Any], texts: NDArray[np.object_]) -> Columns:
    quantiles, models, issued_at = issued
    count, width = len(market.symbols), len(ROLES) * H
    calibration = np.full((count, len(ROLES), H), "", dtype=object)
    calibration[:, :2] = texts
    network = np.isin(ROLES, ("champion", "challenger"))
    return {
        "symbol": np.repeat(np.array(market.symbols, dtype=object), width),
        "target": TARGET,
        "origin_session": market.sessions[night],
        "horizon": np.tile(HORIZONS, count * len(ROLES)),
        "model_id": np.repeat(models.ravel(), H),
        "kind": "live",
        "target_session": np.tile(market.sessions[night + 1 : night + 1 + H], count * len(ROLES)),
        **{name: quantiles[..., place].ravel() for place, name in enumerate(QUANTILE_COLUMNS)},
        "role": np.tile(np.repeat(np.array(ROLES, dtype=object), H), count),
        "status": "ok",
        "reason": "",
        "last_value": np.repeat(market.first_volume[:, night], width),
        "past_forecasts": np.tile(np.repeat(np.where(network, 500, 0), H), count),
        "calibration": calibration.ravel(),
        "issued_at": issued_at,
        "data_as_of": issued_at,
        "fetch_id": np.repeat(_ids("fetch", market, night), width),
        "run_id": np.repeat(_ids("run", market, night), width),
    }


def _scores(market: Market, night: int, issued: dict[int, tuple[Any, Any, Any]]) -> Columns:
    """First prints of forecasts for the night's session, settled scores of those for the session before."""
    parts = []
    for stage, session in (("first_print", night), ("settled", night - 1)):
        actual = (market.first_volume if stage == "first_print" else market.volume)[:, session]
        for horizon in HORIZONS:
            if session - horizon in issued and session > market.first_night:
                parts.append(_scores_of(market, issued, stage, (session, horizon), actual))
    if not parts:
        return {}
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(joined["symbol"].astype(str), kind="stable")  # a night's symbols are written one after the other
    rows = {name: values[order] for name, values in joined.items()}
    return rows | {"target": TARGET, "kind": "live", "scored_at": _issued_at(market, night)}


def _scores_of(
    market: Market,
    issued: dict[int, tuple[Any, Any, Any]],
    stage: str,
    at: tuple[int, int],
    actual: NDArray[np.float64],
) -> Columns:
    session, horizon = at
    quantiles, models, issued_at = issued[session - horizon]
    forecasts = quantiles[:, :, horizon - 1]  # (S, models, Q)
    actuals = np.repeat(actual, len(ROLES)).reshape(len(market.symbols), len(ROLES))
    version = np.where((stage == "settled") & _is_restated(market, session), 2, 1)
    count = forecasts.shape[0] * len(ROLES)
    return {
        "symbol": np.repeat(np.array(market.symbols, dtype=object), len(ROLES)),
        "horizon": np.full(count, horizon),
        "origin_session": np.full(count, market.sessions[session - horizon]),
        "model_id": models.ravel(),
        "stage": np.full(count, stage, dtype=object),
        "bar_version": np.repeat(version, len(ROLES)),
        "target_session": np.full(count, market.sessions[session]),
        "role": np.tile(np.array(ROLES, dtype=object), len(market.symbols)),
        "model": np.tile(np.array(["lstm", "lstm", *BASELINES], dtype=object), len(market.symbols)),
        "issued_at": np.full(count, issued_at),
        "actual": actuals.ravel(),
        "error": (forecasts[..., MEDIAN] - actuals).ravel(),
        "pinball": pinball(actuals, forecasts).ravel(),
        "interval_score": interval_score(actuals, forecasts).ravel(),
        "inside_80": inside(actuals, forecasts, 80).ravel(),
        "inside_90": inside(actuals, forecasts, 90).ravel(),
    }


def _promotions(market: Market, night: int, champions: NDArray[Any], winners: NDArray[Any]) -> Columns:
    return {
        "id": _ids("promotion", market, night),
        "symbol": market.symbols,
        "target": TARGET,
        "session": market.sessions[night],
        "champion": champions,
        "challenger": _ids("model", market, night),
        "winner": winners,
        "best_baseline": BASELINES[-1],
        "champion_pinball": 1.0,
        "challenger_pinball": 1.0,
        "baseline_pinball": 1.1,
        "p_value": 0.5,
        "origins": 120,
        "reason": "tied over 120 origins (p 0.50); the newer data win the tie",
        "trigger": "night",
        "decided_at": _issued_at(market, night),
        "run_id": _ids("run", market, night),
    }


def _is_restated(market: Market, position: int) -> NDArray[np.bool_]:
    restated: NDArray[np.bool_] = market.first_volume[:, position] != market.volume[:, position]
    return restated & (position >= market.first_night)


def _issued_at(market: Market, night: int) -> np.datetime64:
    return market.sessions[night].astype("datetime64[us]") + _MORNING


def _records(table: str, columns: Columns) -> list[dict[str, Any]]:
    frame = pd.DataFrame(columns)
    for column in tables.metadata.tables[table].columns:
        if isinstance(column.type, UtcDateTime) and column.name in frame:
            frame[column.name] = pd.DatetimeIndex(frame[column.name]).tz_localize("UTC")
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _ids(what: str, market: Market, night: int) -> NDArray[np.object_]:
    texts = (hashlib.sha256(f"{what}|{symbol}|{night}".encode()).hexdigest()[:12] for symbol in market.symbols)
    return np.array(list(texts), dtype=object)
