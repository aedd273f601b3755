"""What a night issues, as rows: forecasts, the parts of the published medians, and totals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

import numpy as np

from forecasting.night.night import Night, bars_of
from forecasting.night.run_log import code_version
from forecasting.night.steps.preprocess import is_before, ledger_instant
from forecasting.predict.candidates import Candidate
from forecasting.predict.combine import forecast_kind
from forecasting.predict.fallback import Published
from forecasting.predict.totals import fit_long_totals, total_quantiles
from forecasting.preprocess.future_covariates import calendar_notes
from forecasting.preprocess.windows import H, Windows, actual_of
from forecasting.sessions import next_sessions
from forecasting.store import connect, read, write
from forecasting.store.rows import IssuedRow, ModelRow, PartRow, TotalRow
from forecasting.train.baselines import VERSION
from forecasting.train.checkpoint import SEED
from forecasting.vocabulary import (
    BASELINE,
    HORIZONS,
    LSTM,
    PUBLISHED,
    QUANTILE_COLUMNS,
    RIVAL,
    Kind,
    Target,
)


@dataclass(frozen=True)
class IssuedColumns:
    """The columns that all forecasts of a night share when they are written together."""

    symbol: str
    target: Target
    origin_session: date
    kind: Kind
    last_value: float
    issued_at: datetime
    data_as_of: datetime
    fetch_id: str
    run_id: str


def add_forecasts(
    connection: connect.Connection,
    night: Night,
    issued: Sequence[Candidate],
    published: Published,
    about: IssuedColumns,
) -> tuple[int, int]:
    """How many forecasts were added, with the models that made them, and how many there are.

    `issued`, `published` and `about` as the candidates, and these, of `forecast_rows`.
    """
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
            created_at=about.issued_at,
        )
        for candidate in issued
        if candidate.forecaster != LSTM
    ]
    write.add(connection, "models", *others)
    sessions = next_sessions(night.session, len(HORIZONS), night.exchange)
    rows = forecast_rows(
        issued,
        published,
        about=about,
        sessions=sessions,
        calendar=[", ".join(calendar_notes(session, night.exchange)) for session in sessions],
    )
    return write.add(connection, "forecasts", *rows), len(rows)


def issued_columns(connection: connect.Connection, night: Night) -> IssuedColumns:
    """The columns of a night whose forecasts are written now."""
    issued_at = _issued_at(connection, night)
    return IssuedColumns(
        symbol=night.symbol,
        target=night.target,
        origin_session=night.session,
        kind=forecast_kind(issued_at, night.session, night.exchange),
        last_value=float(actual_of(night.target, bars_of(night)).iloc[-1]),
        issued_at=issued_at,
        data_as_of=cast(datetime, night.data_as_of),
        fetch_id=night.fetch_id,
        run_id=night.id,
    )


def of_origin(night: Night) -> dict[str, object]:
    """The columns by which the key finds all forecasts of a night."""
    return {**night.columns, "origin_session": night.session}


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
    about: IssuedColumns,
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
        for h, horizon in enumerate(HORIZONS):
            if not np.isfinite(candidate.quantiles[h]).all():
                continue
            row = IssuedRow(
                **vars(about),
                model_id=candidate.model_id,
                role=candidate.role,
                status=published.status if is_published else "ok",
                reason=published.reason if is_published else "",
                horizon=horizon,
                target_session=sessions[h],
                calendar=calendar[h],
                past_forecasts=candidate.past_forecasts[h],
                calibration=candidate.calibration[h],
                **dict(zip(QUANTILE_COLUMNS, candidate.quantiles[h].tolist(), strict=True)),
            )
            rows.append(row)
    return rows


def factor_rows(candidates: Sequence[Candidate], about: IssuedColumns) -> list[PartRow]:
    """The rows of table forecast_parts: why each published median is what it is.

    A part that multiplies by 1, as more than a quarter do, has none. `about` as in `forecast_rows`.
    """
    published = next(candidate for candidate in candidates if candidate.role == PUBLISHED)
    rows = []
    for h, horizon in enumerate(HORIZONS):
        for place, (part, factors) in enumerate(published.factors.items(), start=1):
            if part == "usual" or factors[h] != 1.0:
                row = PartRow(
                    symbol=about.symbol,
                    target=about.target,
                    origin_session=about.origin_session,
                    horizon=horizon,
                    model_id=published.model_id,
                    kind=about.kind,
                    part=part,
                    place=place,
                    factor=float(factors[h]),
                )
                rows.append(row)
    return rows


def total_rows(
    candidates: Sequence[Candidate],
    about: IssuedColumns,
    *,
    windows: Windows,
    sessions: Sequence[date],
    factors: Mapping[int, float],
) -> list[TotalRow]:
    """The rows of table total_forecasts: of what is published and of the reference baseline.

    `about` as in `forecast_rows`; `sessions` to the last of the longest total; `factors` of the
    published totals by their number of sessions, that of up to H by H; 1 where none.
    """
    long_totals = fit_long_totals(windows)
    rows = []
    for candidate in candidates:
        is_published = candidate.role == PUBLISHED
        if not is_published and candidate.forecaster != windows.rules.reference:
            continue
        tracked = factors if is_published else {}
        totals = total_quantiles(candidate.quantiles, tracked.get(H, 1.0))
        by_length = dict(zip(HORIZONS[1:], totals[1:], strict=True))
        for long in long_totals:
            factor = tracked.get(long.sessions, 1.0)
            by_length[long.sessions] = long.quantiles(totals[-1], factor)
        for length, quantiles in by_length.items():
            row = TotalRow(
                symbol=about.symbol,
                target=about.target,
                origin_session=about.origin_session,
                horizon=length,
                model_id=candidate.model_id,
                kind=about.kind,
                target_session=sessions[length - 1],
                role=candidate.role,
                factor=tracked.get(max(length, H), 1.0),
                issued_at=about.issued_at,
                **dict(zip(QUANTILE_COLUMNS, quantiles.tolist(), strict=True)),
            )
            rows.append(row)
    return rows
