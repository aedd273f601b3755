"""Runs, one a night, the models that they fitted, and each symbol's and target's newest night."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, func, select

from forecasting.evaluate.scores import skill
from forecasting.evaluate.significance import Skill, p_value_of
from forecasting.store import schema
from forecasting.store.frames import (
    first_record,
    of_series,
    records,
    same_forecast,
    stored,
    view,
)
from forecasting.store.rows import FetchRow, ModelRow, RunRow
from forecasting.store.schema import (
    CLOSED,
    RUNNING,
    bar,
    bar_versions,
    fetch,
    forecast,
    forecast_parts,
    forecasts,
    model,
    models,
    run,
    runs,
    score,
    scores,
    total_forecasts,
    total_scores,
    weight,
    weights,
)
from forecasting.store.standings import WINDOWS
from forecasting.targets import TARGETS
from forecasting.vocabulary import LSTM, PUBLISHED_LINE, RIVAL


def market_of_run(connection: Connection, run_id: str | None) -> str:
    """The symbol of the market series that a run used; empty without one, or without such a run."""
    used = select(fetch.symbol).join(runs, run.market_fetch == fetch.id)
    return connection.scalar(used.where(run.id == run_id)) or ""


def done_before(connection: Connection, night: RunRow) -> RunRow | None:
    """The newest night that is done before another; None before the first."""
    same_day = (run.as_of == night.as_of) & (run.started_at < night.started_at)
    earlier = (
        select(*run)
        .where(*of_series(run, night.symbol, night.target), run.status == "done")
        .where((run.as_of < night.as_of) | same_day)
        .order_by(run.as_of.desc(), run.started_at.desc())
    )
    return first_record(connection, RunRow, earlier)


def running(connection: Connection) -> dict[str, date]:
    """The sessions of nights that run, by id."""
    return dict(connection.execute(select(run.id, run.as_of).where(RUNNING)).all())


@dataclass(frozen=True)
class IssuedNight:
    """What a run has issued of one origin: when, from which fetch, and by which network."""

    run_id: str
    origin_session: date
    issued_at: datetime
    fetch_id: str
    network_id: str | None


def issued_by_run(connection: Connection, symbol: str, target: str) -> list[IssuedNight]:
    """What each run has issued of each origin, the oldest origin first."""
    night = forecast["run_id", "origin_session"]
    first = (func.min(forecast[name]).label(name) for name in ("issued_at", "fetch_id"))
    network = sa.case((forecast.calibration != "", forecast.model_id))
    found = (*first, func.max(network).label("network_id"))
    of_symbol = select(*night, *found).where(*of_series(forecast, symbol, target))
    return records(connection, IssuedNight, of_symbol.group_by(*night).order_by(night[1]))


def rows_of_runs(symbol: str, target: str, run_ids: Sequence[str]) -> dict[str, sa.Select[Any]]:
    """What runs have left of their own sessions: rows by table, after those that they refer to.

    A forecast that names the run of another session is none of that run, nor is a rival's.
    """
    of_own_run = (run.id == forecast.run_id) & (run.as_of == forecast.origin_session)
    is_ours = forecast.role != RIVAL
    of_runs = forecast.run_id.in_(run_ids) & is_ours & sa.exists().where(of_own_run)
    issued = select(forecast.model_id).where(*of_series(forecast, symbol, target), of_runs)
    fitted = select(model.id).where(*of_series(model, symbol, target), model.run_id.in_(run_ids))
    chosen: dict[sa.Table, sa.ColumnElement[bool]] = {
        runs: run.id.in_(run_ids),
        models: model.id.in_(issued) | model.run_id.in_(run_ids),
        forecasts: of_runs,
    }
    for table in (forecast_parts, total_forecasts, scores, total_scores):
        chosen[table] = sa.exists().where(same_forecast(table.c, forecast), of_runs)
    statements = {
        table.name: select(table).where(*of_series(table.c, symbol, target), condition)
        for table, condition in chosen.items()
    }
    return statements | {"weights": select(weights).where(weight.model_id.in_(fitted))}


def due_scores(
    symbol: str, target: str, columns: tuple[str, ...], *, known_at: datetime
) -> sa.Select[Any]:
    """These columns of the scores by bars that an instant has seen, the settled ones settled."""
    by_bar = (bar.symbol == score.symbol) & (bar.session == score.target_session)
    joined = select(*score[columns]).join(bar_versions, by_bar & (bar.version == score.bar_version))
    bar_at = sa.case((score.stage == "settled", bar.settled_at), else_=bar.first_seen_at)
    return joined.where(*of_series(score, symbol, target), bar_at <= known_at)


def models_beginning(connection: Connection, beginning: str, *, limit: int) -> list[ModelRow]:
    """The first `limit` models by id whose ids begin so."""
    named = select(*model).where(model.id.startswith(beginning, autoescape=True))
    return records(connection, ModelRow, named.order_by(model.id).limit(limit))


def networks(connection: Connection, symbol: str, target: str) -> list[ModelRow]:
    """All networks of a symbol and target, the newest first."""
    of_networks = select(*model).where(*of_series(model, symbol, target), model.name == LSTM)
    newest_first = of_networks.order_by(model.created_at.desc(), model.id)
    return records(connection, ModelRow, newest_first)


def newest_scratch(
    connection: Connection, symbol: str, target: str, *, session: date
) -> date | None:
    """The last training session, up to `session`, of passed fits from scratch; None without."""
    trained_to = (
        select(func.max(model.trained_to))
        .where(*of_series(model, symbol, target), model.method == "scratch")
        .where(model.refused == "", model.trained_to <= session)
    )
    return connection.scalar(trained_to)


@dataclass(frozen=True)
class Lineage:
    """What a model came from, and the forecasts that it has made."""

    parents: list[str]  # ids of its ancestors, the nearest first
    fitted_by: RunRow | None  # None for a baseline
    trained_on: FetchRow | None  # the fetch of its training bars
    forecasts: int
    first_origin: date | None
    last_origin: date | None


def lineage(connection: Connection, model: ModelRow) -> Lineage:
    """The lineage of a model."""
    origin = forecast.origin_session
    of_model = (
        select(func.count(), func.min(origin), func.max(origin))
        .where(*of_series(forecast, model.symbol, model.target))
        .where(forecast.model_id == model.id)
    )
    return Lineage(
        _ancestors(connection, model),
        stored(connection, RunRow, {"id": model.run_id}),
        stored(connection, FetchRow, {"id": model.fetch_id}),
        *connection.execute(of_model).one(),
    )


def _ancestors(connection: Connection, model: ModelRow) -> list[str]:
    fitted = schema.model
    of_symbol = of_series(fitted, model.symbol, model.target)
    parents = select(fitted.id, fitted.parent_id).where(*of_symbol)
    parent_of = dict(connection.execute(parents).all())
    ancestors: list[str] = []
    parent = model.parent_id
    while parent is not None and parent not in ancestors:
        ancestors.append(parent)
        parent = parent_of.get(parent)
    return ancestors


def newest_network(
    connection: Connection, symbol: str, target: str, *, before: date = date.max
) -> ModelRow | None:
    """The newest fit of the sessions before one that may be published.

    It has passed the gate and is not withdrawn; None without any.
    """
    fits = passed_fits(symbol, target).where(run.as_of < before)
    return first_record(connection, ModelRow, fits)


def passed_fits(symbol: str, target: str) -> sa.Select[Any]:
    """The fits that have passed the gate and are not withdrawn, those of the newest session first.

    They are rows of table models, joined with the runs that fitted them.
    """
    passed = (
        *of_series(model, symbol, target),
        model.name == LSTM,
        model.refused == "",
        model.withdrawn_at.is_(None),
    )
    newest_first = (run.as_of.desc(), model.created_at.desc(), model.id.desc())
    fits = select(models).join(runs, run.id == model.run_id).where(*passed)
    return fits.order_by(*newest_first)


def newest_run(
    connection: Connection, symbol: str, target: str, *, last: date = date.max
) -> RunRow | None:
    """The run of the newest session up to `last`; of one session a done one.

    A failed one is history, and left out, once bars that were fetched later have led to another
    night; so is one of a day that was no session.
    """
    wanted = (*of_series(run, symbol, target), run.as_of <= last, ~_is_history())
    newest_first = select(*run).where(*wanted).order_by(*_NEWEST_FIRST)
    return first_record(connection, RunRow, newest_first)


_NEWEST_FIRST = (run.as_of.desc(), run.status != "done", run.started_at.desc())


def _is_history() -> sa.ColumnElement[bool]:
    """The condition that a run is closed, or failed before another night's bars were fetched.

    By the fetch, not by the later start: a run whose source does not respond goes on with stored
    bars, and its failure still counts. The other night is running while it writes its own page. The
    nights of a session share a fetch, which is of the first of their targets.
    """
    later = runs.alias("later").c
    requested = runs.alias("requested").c
    night_after = select(later.id).where(
        later.symbol == run.symbol,
        later.target == run.target,
        later.status.in_(("running", "done")),
        requested.as_of == later.as_of,
        fetch.run_id == requested.id,
        fetch.symbol == run.symbol,
        fetch.fetched_at > run.started_at,
    )
    is_made_up_for = (run.status == "failed") & night_after.correlate(runs).exists()
    return (run.status == "closed") | is_made_up_for


def ended_series(connection: Connection) -> set[tuple[str, str]]:
    """Symbol and target of which no bar comes any more: their newest night is closed."""
    later = runs.alias("later").c
    same_series = (later.symbol == run.symbol, later.target == run.target)
    has_later = sa.exists().where(*same_series, later.as_of > run.as_of)
    closed = select(*run["symbol", "target"]).where(CLOSED, ~has_later)
    return {(symbol, target) for symbol, target in connection.execute(closed)}


def newest_runs(
    connection: Connection, symbols: Collection[str], *, first: date, last: date = date.max
) -> dict[tuple[str, str], RunRow]:
    """The `newest_run` of each symbol and target, of sessions from `first` to `last`."""
    of_series = (run.symbol.in_(symbols), run.target.in_(TARGETS))
    wanted = (*of_series, run.as_of.between(first, last), ~_is_history())
    newest_first = select(runs).where(*wanted).order_by(*_NEWEST_FIRST)
    newest_last = reversed(records(connection, RunRow, newest_first))
    return {(night.symbol, night.target): night for night in newest_last}


def skills(
    connection: Connection, of: Mapping[str, str] = MappingProxyType({})
) -> dict[tuple[str, str], Skill]:
    """Skill by symbol and target, of the scores that count: the figure that people are told.

    `of` names symbol and target; without it all are read.
    """
    newest = {"horizon": 1, "window_sessions": max(WINDOWS), "counts": True}
    found = view(connection, "live_skill", {**newest, **of})
    # Without any number a column has no type
    found = found.astype({"reference_skill": float, "reference_statistic": float})
    return {(row["symbol"], row["target"]): _skill(row) for row in found.to_dict("records")}


class Lead(NamedTuple):
    """How much less published forecasts lost than another forecaster's: 1 - pinball loss / its."""

    n: int  # of the newest 250 nights, those with a score of both one session ahead
    next_session: float
    five_sessions: float  # of the five ahead together; NaN of a rival of the next session alone


def leads(connection: Connection, symbol: str, target: str, kind: str) -> dict[str, Lead]:
    """The lead over each other forecaster, from the standings of one kind."""
    scope = {"symbol": symbol, "target": target, "kind": kind, "window_sessions": max(WINDOWS)}
    found = view(connection, "standings", scope).sort_values("horizon")
    others = found[(found["line"] != PUBLISHED_LINE) & (found["n"] > 0)]
    each = {}
    for line, rows in others.groupby("line", sort=False):
        one = rows[rows["horizon"] == 1]
        five = _lead(rows) if len(rows) > 1 else math.nan
        each[str(line)] = Lead(int(one["n"].sum()), _lead(one), five)
    return each


def _lead(rows: pd.DataFrame) -> float:
    return skill(rows["published_pinball"].sum(), rows["pinball"].sum())


def _skill(row: Mapping[Any, Any]) -> Skill:
    statistic = math.sqrt(row["reference_statistic"])
    n = int(row["reference_n"])
    p_value = None if math.isnan(statistic) else p_value_of(statistic, n)
    return Skill(row["reference"], n, row["reference_skill"], p_value)
