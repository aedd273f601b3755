"""Forecast with the network and every baseline, choose what is published, and write it all."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import cast

import numpy as np
import pandas as pd

from forecasting.errors import NUMERICAL_ERRORS, ArtifactError
from forecasting.ingest.splits import BREAKS
from forecasting.night.night import Night, bars_of, windows_of
from forecasting.night.run_log import add_notes, notes_of
from forecasting.night.steps.issue import (
    add_forecasts,
    factor_rows,
    issued_columns,
    of_origin,
    total_rows,
)
from forecasting.night.steps.preprocess import check_same_market, past_losses
from forecasting.night.steps.rivals import add_rivals
from forecasting.predict import candidates, fallback
from forecasting.predict.candidates import Candidate
from forecasting.predict.combine import MAX_FORECASTS, read_past
from forecasting.predict.fallback import NetworkFacts, Published, deficit_of, fallback_baseline
from forecasting.predict.totals import LONG, next_factor
from forecasting.preprocess.windows import H, Windows, actual_of
from forecasting.sessions import after, next_sessions, shift
from forecasting.store import connect, read, write
from forecasting.store.rows import ModelRow, RunRow, WeightsRow
from forecasting.targets import TARGETS
from forecasting.vocabulary import PUBLISHED, QUANTILE_COLUMNS

logger = logging.getLogger("forecasting.predict")

ISSUED_BEFORE = (
    "What is published for this session was issued before, by a run under other settings, and "
    "stays as issued: this run's settings show from the next session on."
)
"""The note of a run without a fit of its own, where another has forecast the session with the same
model."""


@dataclass(frozen=True)
class PredictionInputs:
    """What the store holds before any model forecasts."""

    model: ModelRow | None  # tonight's fit, else the newest that passed; None without any
    weights: WeightsRow | None
    losses: pd.DataFrame  # as `past_losses` returns them, of SCORED_ORIGINS
    # Closed forecasts of the network: origin_session, horizon, target_session, actual, calibration
    past: pd.DataFrame
    total_factors: Mapping[int, float]  # of the published totals, as for `total_rows`
    fitted_with: str  # the market series that the model was fitted with; empty without one
    facts: NetworkFacts  # but for what tonight's forecasts show


def write_forecasts(night: Night) -> Night:
    """The night, once its forecasts are written, unless its run has written them before.

    A model that is missing or cannot be used stops no night: a baseline takes its place.
    """
    with connect.reading(night.url) as connection:
        if night.is_for_rivals or read.row(connection, "forecasts", of_origin(night)) is not None:
            return add_rivals(night)
        stored = read_inputs(connection, night)
    issued, published = _forecast(night, stored)
    with connect.transaction(night.url) as connection:
        _write(connection, night, issued, published, stored.total_factors)
    return add_rivals(night)


def read_inputs(connection: connect.Connection, night: Night) -> PredictionInputs:
    """What the store holds."""
    session = night.session
    exchange = night.exchange
    known_at = cast(datetime, night.data_as_of)
    model = read.stored(connection, ModelRow, {"id": night.fit})
    if model is None:
        model = read.newest_network(connection, *night.key, before=session)
    past = _closed_forecasts(connection, night, bars_of(night))
    losses = past_losses(connection, night, origins=fallback.SCORED_ORIGINS)
    facts = NetworkFacts(
        model=None,
        deficit=deficit_of(losses),
        in_fallback=read.in_fallback(connection, *night.key, before=session),
        bars_break=read.newest_flag(
            connection,
            night.symbol,
            BREAKS,
            first=shift(session, -fallback.BREAK_SESSIONS, exchange),
            last=session,
            known_at=known_at,
        ),
    )
    fitted_with = ""
    weights = None
    if model is None:
        facts = replace(facts, no_fit=_no_fit(connection, night))
    else:
        age = len(after(cast(date, model.trained_to), session, exchange))
        facts = replace(facts, model=model.id, age_sessions=age)
        fitted_with = read.market_of_run(connection, model.run_id)
        weights = read.stored(connection, WeightsRow, {"model_id": model.id})
    return PredictionInputs(
        model=model,
        weights=weights,
        losses=losses,
        past=past,
        total_factors=_total_factors(connection, night, past),
        fitted_with=fitted_with,
        facts=facts,
    )


def _no_fit(connection: connect.Connection, night: Night) -> str:
    refused = read.stored(connection, ModelRow, night.columns)
    if refused is not None:
        return f"the gate refused tonight's fit: {refused.refused}"
    run = read.stored(connection, RunRow, {"id": night.id})
    reason = "" if run is None else notes_of(run.notes).get("no_model", "")
    return f"{reason[:1].lower()}{reason[1:]}"


def _closed_forecasts(
    connection: connect.Connection, night: Night, bars: pd.DataFrame
) -> pd.DataFrame:
    """Past forecasts of the network with the actuals as known at the instant of `bars`."""
    target = night.target
    past = read.past_forecasts(
        connection, *night.key, origin=night.session, limit=MAX_FORECASTS, known_at=night.data_as_of
    )
    actual = np.full(len(past), np.nan)
    for instant in past["bars_at"].unique():  # one, unless the user accepted another history
        known = bars
        if instant != night.data_as_of:
            known = read.bars(connection, night.symbol, last=night.session, known_at=instant)
        rows = (past["bars_at"] == instant).to_numpy()
        sessions = pd.DatetimeIndex(past["target_session"][rows])
        actual[rows] = actual_of(target, known).reindex(sessions)
    # A split changes how many shares trade and what one costs; a forecast made before it stays on
    # its own basis.
    return past.assign(actual=TARGETS[target].to_issued(actual, past["split_factor"].to_numpy()))


def _total_factors(
    connection: connect.Connection, night: Night, past: pd.DataFrame
) -> dict[int, float]:
    """The factors of tonight's totals, from those of the night before and what has closed since."""
    rules = TARGETS[night.target]
    if not rules.has_totals:
        return {}
    since = read.totals_since_newest(connection, *night.key, session=night.session)
    if since.empty:
        return {}
    # Sessions of another history, which the user replaced meanwhile, are unknown
    known = past[past["bars_at"] == past["bars_at"].max()]
    by_session = known.drop_duplicates("target_session")
    by_origin = known.drop_duplicates("origin_session").set_index("origin_session")
    volume = rules.to_present(
        by_session["actual"].to_numpy(), by_session["split_factor"].to_numpy()
    )
    session = by_session["target_session"].to_numpy()
    origin = pd.DatetimeIndex(since["origin_session"])
    last = pd.DatetimeIndex(since["target_session"])
    within = (session > origin.to_numpy()[:, None]) & (session <= last.to_numpy()[:, None])
    total = np.where(within, volume, 0.0).sum(axis=1)
    factor = by_origin["split_factor"].reindex(origin).to_numpy()
    is_whole = within.sum(axis=1) == since["horizon"]
    since["actual"] = np.where(is_whole, rules.to_issued(total, factor), np.nan)
    return {
        length: next_factor(
            rows["factor"].iloc[-1],
            rows["actual"].to_numpy(),
            rows[list(QUANTILE_COLUMNS)].to_numpy(dtype=float),
            lengths=H if length == H else 1,
        )
        for length, rows in since.groupby(since["horizon"].clip(lower=H))
    }


def _forecast(night: Night, stored: PredictionInputs) -> tuple[list[Candidate], Published]:
    windows = windows_of(night)
    network, damage = _network(night, stored, windows)
    baselines = candidates.baseline_candidates(
        windows, symbol=night.symbol, settings=night.settings.forecast_key
    )
    usable = [baseline.forecaster for baseline in baselines]
    # A young symbol's nights are too few to choose by
    losses = stored.losses[:0] if windows.is_young else stored.losses
    facts = replace(
        stored.facts,
        baseline=fallback_baseline(losses, stored.facts.deficit, usable),
        damage=damage,
        finite=network is None or network.is_finite,
        young_sessions=len(windows.steps) if windows.is_young else None,
    )
    published = fallback.choose_published(facts)
    forecasts = baselines if network is None else [*baselines, network]
    return candidates.assign_roles(forecasts, published), published


def _network(
    night: Night, stored: PredictionInputs, windows: Windows
) -> tuple[Candidate | None, str]:
    """The network's forecast, or why its model cannot be used; neither without a model."""
    model = stored.model
    if model is None:
        return None, ""
    from forecasting.night.steps.train import load_model  # with torch

    try:
        checkpoint = load_model(model, stored.weights)
        check_same_market(checkpoint.card, stored.fitted_with, night)
        past = read_past(stored.past)
        return candidates.network_candidate(model.id, checkpoint, windows, past), ""
    except (ArtifactError, *NUMERICAL_ERRORS) as error:
        logger.warning("model %s cannot be used: %s", model.id, error)
        return None, str(error)


def _write(
    connection: connect.Connection,
    night: Night,
    issued: Sequence[Candidate],
    published: Published,
    total_factors: Mapping[int, float],
) -> None:
    """Write forecasts, and what follows from the published ones unless others are there before."""
    about = issued_columns(connection, night)
    added, whole = add_forecasts(connection, night, issued, published, about)
    of_published = of_origin(night) | {"role": PUBLISHED}
    what = published.reason or "the network's is published"
    if added == whole or read.row(connection, "forecasts", of_published):
        write.add(connection, "forecast_parts", *factor_rows(issued, about))
        if TARGETS[night.target].has_totals:
            totals = total_rows(
                issued,
                about,
                windows=windows_of(night),
                sessions=next_sessions(night.session, LONG[-1], night.exchange),
                factors=total_factors,
            )
            write.add(connection, "total_forecasts", *totals)
    else:
        what = ISSUED_BEFORE
        add_notes(connection, night.id, {"issued_before": what})
    logger.info("wrote %d forecasts of %s, origin %s: %s", added, night.series, night.session, what)
