"""Write each night's forecasts: of the network, of every baseline and rival, in one way."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import cast

import numpy as np
import pandas as pd

from forecasting.errors import NUMERICAL_ERRORS, ArtifactError
from forecasting.ingest.splits import BREAKS
from forecasting.night.night import Night, bars_of, windows_of
from forecasting.night.run_log import add_notes, code_version, notes_of
from forecasting.night.steps.preprocess import (
    check_same_market,
    is_before,
    ledger_instant,
    past_losses,
)
from forecasting.plain_text import plain_text
from forecasting.predict import candidates, fallback, rivals
from forecasting.predict.candidates import Candidate
from forecasting.predict.combine import MAX_FORECASTS, forecast_kind, read_past
from forecasting.predict.fallback import NetworkFacts, Published, deficit_of, fallback_baseline
from forecasting.predict.totals import LONG, long_totals, next_factor, total_quantiles
from forecasting.preprocess.future_covariates import calendar_notes
from forecasting.preprocess.windows import H, Windows, actual_of
from forecasting.sessions import after, next_sessions, shift
from forecasting.store import connect, read, write
from forecasting.store.frames import Row
from forecasting.store.rows import (
    IssuedRow,
    ModelRow,
    PartRow,
    RunRow,
    TotalRow,
    WeightsRow,
)
from forecasting.targets import TARGETS
from forecasting.train.baselines import VERSION, whole_quantiles
from forecasting.train.checkpoint import SEED
from forecasting.train.linear import linear_forecast
from forecasting.values import is_file
from forecasting.vocabulary import (
    BASELINE,
    HORIZONS,
    LSTM,
    PUBLISHED,
    QUANTILE_COLUMNS,
    RIVAL,
    short_id,
)

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
    total_factors: dict[int, float]  # of the published totals, as for `total_rows`
    fitted_with: str  # the market series that the model was fitted with; empty without one
    facts: NetworkFacts  # but for what tonight's forecasts show


def write_forecasts(night: Night) -> Night:
    """The night, once its forecasts are written, unless its run has written them before.

    A model that is missing or cannot be used stops no night: a baseline takes its place.
    """
    with connect.reading(night.url) as connection:
        if night.is_for_rivals or read.row(connection, "forecasts", _of_run(night)) is not None:
            return add_rivals(night)
        stored = read_inputs(connection, night)
    issued, published, facts = _forecast(night, stored)
    with connect.transaction(night.url) as connection:
        _write(connection, night, issued, published, stored)
        if facts.deficit is not None:
            margin = fallback.margin_of(facts.deficit, in_fallback=facts.in_fallback)
            of_night = night.columns | {"session": night.session}
            write.add(connection, "fallback_margins", of_night | asdict(margin))
    return add_rivals(night)


def add_rivals(night: Night) -> Night:
    """The night, once what its rivals forecast, and has not been written before, is.

    What is wrong with a rival harms no night: it is a note of the run.
    """
    notes = []
    for name, option in night.settings.rivals.items():
        try:
            note = _add_rival(night, name, option)
        except Exception as error:  # whatever a file, or others' code, leads to
            note = str(error)
        if note:
            notes.append(plain_text(f"Rival {name}: {note}", limit=500))
    if night.settings.rivals:
        with connect.transaction(night.url) as connection:
            add_notes(connection, night.id, {"rivals": " ".join(notes)})
    return night


def _add_rival(night: Night, name: str, option: str) -> str:
    """What is to be noted of a rival, once what it forecasts and has not before is written."""
    of_model = _of_rival(night, name)
    with connect.reading(night.url) as connection:
        stored = read.view(connection, "forecasts", of_model)
        scores = read.view(connection, "scores", of_model | {"stage": "first_print"})
    at = pd.Timestamp(night.session)
    has_before = stored["horizon"][stored["origin_session"] == at] - 1
    windows = windows_of(night)
    given = np.full((H, len(QUANTILE_COLUMNS)), np.nan)
    note = ""
    if isinstance(option, str) and is_file(option):
        given, note = rivals.of_file(option, night.settings, windows, stored)
    elif has_before.empty:
        history = bars_of(night).assign(value=actual_of(night.target, bars_of(night)))
        given = rivals.of_class(option, history, windows)
    whole = whole_quantiles(given, scores[scores["target_session"] <= at], windows)
    whole[has_before] = np.nan
    with connect.transaction(night.url) as connection:
        issued = [Candidate(of_model["model_id"], name, RIVAL, whole)]
        _write(connection, night, issued, Published("", "ok", ""), None)
    return note


def _of_rival(night: Night, name: str) -> dict[str, str]:
    return night.settings.columns | {"model_id": short_id(RIVAL, name, *night.key)}


def has_more(night: Night, name: str, option: str) -> bool:
    """Whether a rival's file has more of a night than is stored, or of a class nothing is."""
    of_night = _of_rival(night, name) | {"origin_session": night.session}
    with connect.reading(night.url) as connection:
        stored = read.values(connection, "forecasts", "horizon", of_night)
    if not is_file(option):
        return not stored
    with suppress(Exception):  # of a file without rows of the night, or that cannot be read
        rows, _ = rivals.read_rows(option, night.settings)
        return not set(rows.loc[str(night.session)].index) <= set(stored)
    return False


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


def _of_run(night: Night) -> Row:
    """The columns that all forecasts of a night have in common, by which the key finds them."""
    return night.columns | {"origin_session": night.session}


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
    if not TARGETS[night.target].has_totals:
        return {}
    since = read.totals_since_newest(connection, *night.key, session=night.session)
    if since.empty:
        return {}
    recent = past[past["origin_session"] >= pd.Timestamp(since["origin_session"].min())]
    each = zip(recent["origin_session"].dt.date, recent["horizon"], strict=True)
    actual = dict(zip(each, recent["actual"], strict=True))
    closed = read.closed_long_totals(
        connection,
        *night.key,
        first=since["target_session"].min(),
        last=night.session,
        known_at=night.data_as_of,
    )
    long = closed[closed["stage"] == "first_print"]
    each = zip(long["origin_session"].dt.date, long["horizon"], strict=True)
    of_long = dict(zip(each, long["actual"], strict=True))
    lengths = since["horizon"]
    since["actual"] = [
        of_long.get((origin, length), np.nan)
        if length > H
        else sum(actual.get((origin, horizon), np.nan) for horizon in range(1, length + 1))
        for origin, length in zip(since["origin_session"], lengths, strict=True)
    ]
    return {
        length: next_factor(
            rows["factor"].iloc[-1],
            rows["actual"].to_numpy(),
            rows[list(QUANTILE_COLUMNS)].to_numpy(dtype=float),
            lengths=H if length == H else 1,
        )
        for length, rows in since.groupby(lengths.clip(lower=H))
    }


def _forecast(
    night: Night, stored: PredictionInputs
) -> tuple[list[Candidate], Published, NetworkFacts]:
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
    return candidates.assign_roles(forecasts, published), published, facts


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
        linear = linear_forecast(windows)
        return candidates.network_candidate(model.id, checkpoint, windows, past, linear), ""
    except (ArtifactError, *NUMERICAL_ERRORS) as error:
        logger.warning("model %s cannot be used: %s", model.id, error)
        return None, str(error)


def _write(
    connection: connect.Connection,
    night: Night,
    issued: list[Candidate],
    published: Published,
    stored: PredictionInputs | None,
) -> None:
    """Write forecasts, and unless `stored` is None what follows from the published ones."""
    exchange = night.exchange
    rules = TARGETS[night.target]
    issued_at = _issued_at(connection, night)
    about = _of_run(night) | {
        "kind": forecast_kind(issued_at, night.session, exchange),
        "last_value": float(actual_of(night.target, bars_of(night)).iloc[-1]),
        "issued_at": issued_at,
        "data_as_of": night.data_as_of,
        "fetch_id": night.fetch_id,
    }
    sessions = next_sessions(night.session, len(HORIZONS), exchange)
    others = [
        ModelRow(
            id=candidate.model_id,
            name=candidate.forecaster,
            version=VERSION,
            method=RIVAL if candidate.role == RIVAL else BASELINE,
            symbol=night.symbol,
            target=night.target,
            scope="symbol",
            seed=SEED,
            code_version=code_version(),
            created_at=issued_at,
        )
        for candidate in issued
        if candidate.forecaster != LSTM
    ]
    write.add(connection, "models", *others)
    rows = forecast_rows(
        issued,
        published,
        about=about,
        sessions=sessions,
        calendar=[", ".join(calendar_notes(session, exchange)) for session in sessions],
    )
    added = write.add(connection, "forecasts", *rows)
    if stored is None:
        return
    what = published.reason or "the network's is published"
    if added == len(rows) or read.row(
        connection, "forecasts", _of_run(night) | {"role": PUBLISHED}
    ):
        write.add(connection, "forecast_parts", *factor_rows(issued, about))
        if rules.has_totals:
            totals = total_rows(
                issued,
                about,
                windows=windows_of(night),
                sessions=next_sessions(night.session, LONG[-1], exchange),
                factors=stored.total_factors,
            )
            write.add(connection, "total_forecasts", *totals)
    else:
        what = ISSUED_BEFORE
        add_notes(connection, night.id, {"issued_before": what})
    logger.info("wrote %d forecasts of %s, origin %s: %s", added, night.series, night.session, what)


def _issued_at(connection: connect.Connection, night: Night) -> datetime:
    """The instant of issue: now, but after the newest of the ledger where the clock is behind."""
    now = night.now()
    if night.stored_id is not None:  # made again, beside fetches of later
        return now
    of_symbol = {"symbol": night.symbol}
    fetched = read.newest(connection, "fetches", "fetched_at", of_symbol)
    if not is_before(now, fetched):
        return now
    issued = read.newest(connection, "forecasts", "issued_at", of_symbol)
    return ledger_instant(max(fetched, issued or fetched), now)


def forecast_rows(
    candidates: Sequence[Candidate],
    published: Published,
    *,
    about: Row,
    sessions: Sequence[date],
    calendar: Sequence[str],
) -> list[IssuedRow]:
    """The rows of table forecasts, one a candidate and horizon that it forecasts.

    Args:
        candidates: with the roles of `assign_roles`.
        published: its status and reason are those of the published rows.
        about: columns of each row.
        sessions: (H,) the target sessions.
        calendar: (H,) what is special about them, in words.
    """
    rows = []
    for candidate in candidates:
        is_published = candidate.role == PUBLISHED
        shared = {
            **about,
            "model_id": candidate.model_id,
            "role": candidate.role,
            "status": published.status if is_published else "ok",
            "reason": published.reason if is_published else "",
        }
        for h, horizon in enumerate(HORIZONS):
            if not np.isfinite(candidate.quantiles[h]).all():
                continue
            row = IssuedRow(
                **shared,
                horizon=horizon,
                target_session=sessions[h],
                calendar=calendar[h],
                past_forecasts=candidate.past_forecasts[h],
                calibration=candidate.calibration[h],
                **dict(zip(QUANTILE_COLUMNS, candidate.quantiles[h].tolist(), strict=True)),
            )
            rows.append(row)
    return rows


def factor_rows(candidates: Sequence[Candidate], about: Row) -> list[PartRow]:
    """The rows of table forecast_parts: why each published median is what it is.

    A part that multiplies by 1, as more than a quarter do, has none. `about` as in `forecast_rows`.
    """
    published = next(candidate for candidate in candidates if candidate.role == PUBLISHED)
    shared = {name: about[name] for name in ("symbol", "target", "origin_session", "kind")}
    rows = []
    for h, horizon in enumerate(HORIZONS):
        for place, (part, factors) in enumerate(published.factors.items(), start=1):
            if part == "usual" or factors[h] != 1.0:
                row = PartRow(
                    **shared,
                    horizon=horizon,
                    model_id=published.model_id,
                    part=part,
                    place=place,
                    factor=float(factors[h]),
                )
                rows.append(row)
    return rows


def total_rows(
    candidates: Sequence[Candidate],
    about: Row,
    *,
    windows: Windows,
    sessions: Sequence[date],
    factors: Mapping[int, float],
) -> list[TotalRow]:
    """The rows of table total_forecasts: of what is published and of the reference baseline.

    `about` as in `forecast_rows`; `sessions` to the last of the longest total; `factors` of the
    published totals by their number of sessions, that of up to H by H; 1 where none.
    """
    names = ("symbol", "target", "origin_session", "kind", "issued_at")
    shared = {name: about[name] for name in names}
    rows = []
    for candidate in candidates:
        is_published = candidate.role == PUBLISHED
        if not is_published and candidate.forecaster != windows.rules.reference:
            continue
        tracked = factors if is_published else {}
        totals = total_quantiles(candidate.quantiles, tracked.get(H, 1.0))
        short = dict(zip(HORIZONS[1:], totals[1:], strict=True))
        for length, quantiles in (short | long_totals(windows, totals[-1], tracked)).items():
            row = TotalRow(
                **shared,
                horizon=length,
                model_id=candidate.model_id,
                target_session=sessions[length - 1],
                role=candidate.role,
                factor=tracked.get(max(length, H), 1.0),
                **dict(zip(QUANTILE_COLUMNS, quantiles.tolist(), strict=True)),
            )
            rows.append(row)
    return rows
