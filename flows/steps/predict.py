"""Write tonight's forecasts: champion, challenger and every baseline, into one table through one path."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flows import clock
from flows.night import Night, short_id
from flows.steps.known import KnownThen, known_then
from flows.steps.run_row import code_version
from flows.steps.train import load_model
from forecasting.errors import ArtifactError
from forecasting.evaluate.promotion import CHAMPION, SILENCED, stand
from forecasting.predict.fallback import WINDOW_ORIGINS, Speaker, SpeakerFacts, speaker
from forecasting.predict.forecasts import kind_of, network_quantiles, speak
from forecasting.predict.outside import inputs_outside, outside_text
from forecasting.preprocess.targets import HORIZONS, QUANTILE_COLUMNS, Floats, actual_of
from forecasting.preprocess.windows import Windows, load_windows
from forecasting.sessions import between, next_sessions
from forecasting.settings import Settings
from forecasting.store import database, lineage, reads, record, writes
from forecasting.store.database import Connection
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.partner import partner_quantiles

logger = logging.getLogger("forecasting.predict")

Record = dict[str, Any]

BASELINE_VERSION = "1"
"""Counted up when a baseline's rule changes: its forecasts are then another model's."""

NEWEST_PAST = 500
"""Past origins that calibration and combination are given, at most."""


@dataclass(frozen=True)
class Tonight:
    """What the store says before anybody speaks.

    Attributes:
        known: The night's inputs.
        champion: Its row in `models`; on the first night the challenger's; None when there is neither.
        challenger: Tonight's, when it is another than the champion.
        losses: Scored forecasts of the newest origins: origin_session, horizon, line, pinball.
        past: Closed forecasts of the network's line: origin_session, horizon, target_session, actual, calibration.
    """

    known: KnownThen
    champion: Record | None
    challenger: Record | None
    losses: pd.DataFrame
    past: pd.DataFrame


@dataclass(frozen=True)
class Line:
    """One model's forecast of tonight: its row in `models`, (H, Q) quantiles in the target's own unit, and its role."""

    model_id: str
    name: str
    role: str
    quantiles: Floats
    past_forecasts: tuple[int, ...] = (0,) * len(HORIZONS)
    calibration: tuple[str, ...] = ("",) * len(HORIZONS)
    outside: str = ""


def write_forecasts(night: Night, settings: Settings, windows_path: str, *, challenger_id: str) -> int:
    """The number of forecast rows added: none when this run has written its forecasts before.

    A champion that is missing, damaged, too old, not finite or behind does not stop the night: the best baseline's row
    speaks in its place, with status fallback and the reason.
    """
    with database.reading(settings.url) as connection:
        if record.has_forecasts(connection, night.run_id(settings)):
            return 0
        tonight = read_tonight(connection, night, settings, challenger_id)
    windows = load_windows(Path(windows_path))
    lines = [baseline_line(name, night, settings, windows) for name in baseline_names(night.target)]
    damage = {}
    for role, model in (("champion", tonight.champion), ("challenger", tonight.challenger)):
        try:
            lines += [network_line(model, role, settings, windows, tonight)] if model is not None else []
        except ArtifactError as error:
            damage[role] = str(error)
            logger.warning("%s %s cannot speak: %s", role, model and model["id"], error)
    chosen = speaker(speaker_facts(night, settings, tonight, lines, damage=damage.get("champion", "")))
    return keep(night, settings, tonight.known, with_speaker(lines, chosen), chosen=chosen)


def read_tonight(connection: Connection, night: Night, settings: Settings, challenger_id: str) -> Tonight:
    """What the store says; on the first night the only network is both challenger and champion."""
    champion = reads.champion(connection, night.symbol, night.target, session=night.session)
    challenger = lineage.model(connection, challenger_id) if challenger_id else None
    known = known_then(connection, night, settings)
    return Tonight(
        known=known,
        champion=champion or challenger,
        challenger=challenger if champion and challenger and challenger["id"] != champion["id"] else None,
        losses=record.scored_lines(
            connection,
            night.symbol,
            night.target,
            last=night.session,
            origins=WINDOW_ORIGINS,
            known_at=known.data_as_of,
        ),
        past=closed_forecasts(connection, night, known),
    )


def closed_forecasts(connection: Connection, night: Night, known: KnownThen) -> pd.DataFrame:
    """Past forecasts of the network's line with the actuals as known at the night's session."""
    past = reads.past_forecasts(connection, night.symbol, night.target, origin=night.session, limit=NEWEST_PAST)
    actual = actual_of(night.target, known.bars).reindex(pd.DatetimeIndex(past["target_session"])).to_numpy()
    factor = past["split_factor"].to_numpy()
    # A split changes how many shares trade and what one costs; what was said before it stays on its own basis.
    basis = {"volume": 1.0 / factor, "close": factor, "range": np.ones(len(factor))}[night.target]
    return past.assign(actual=actual * basis)


def baseline_line(name: str, night: Night, settings: Settings, windows: Windows) -> Line:
    """A baseline's forecast; its model row stands for the rule, which is fitted anew from the night's fetch."""
    model_id = short_id("baseline", name, BASELINE_VERSION, night.symbol, night.target, settings.hash)
    return Line(model_id, name, "baseline", baseline_quantiles(name, windows))


def network_line(model: Record, role: str, settings: Settings, windows: Windows, tonight: Tonight) -> Line:
    """A network's forecast, combined with its linear partner and calibrated on closed forecasts.

    Raises:
        ArtifactError: Its weights cannot be loaded or run.
    """
    checkpoint = load_model(model, settings)
    network, partner = network_quantiles(checkpoint, windows), partner_quantiles(windows)
    issued = speak(network, partner, tonight.past, scale=windows.scale(), target=windows.target)
    used = tuple(int(n) for n in issued.past_forecasts)
    beyond = inputs_outside(windows, trained_from=model["trained_from"], trained_to=model["trained_to"])
    told = outside_text(beyond)
    return Line(model["id"], model["name"], role, issued.quantiles, used, tuple(issued.calibration), told)


def speaker_facts(
    night: Night, settings: Settings, tonight: Tonight, lines: list[Line], *, damage: str
) -> SpeakerFacts:
    """What decides whether the champion may speak."""
    standing = stand(tonight.losses, lines=(CHAMPION,), newest=WINDOW_ORIGINS)
    baseline = standing.best_baseline or baseline_names(night.target)[-1]  # the strongest on most symbols, listed last
    spoken = next((line for line in lines if line.role == CHAMPION), None)
    trained_to = tonight.champion["trained_to"] if tonight.champion else None
    return SpeakerFacts(
        champion=tonight.champion["id"] if tonight.champion else None,
        baseline=baseline,
        damage=damage,
        age_sessions=len(between(trained_to, night.session, settings.exchange)) - 1 if trained_to else None,
        max_age_sessions=settings.max_model_age,
        finite=spoken is None or bool(np.isfinite(spoken.quantiles).all()),
        champion_pinball=standing.pinballs.get(CHAMPION),
        baseline_pinball=standing.pinballs.get(baseline),
        origins=standing.origins,
    )


def with_speaker(lines: list[Line], chosen: Speaker) -> list[Line]:
    """The lines with the speaker in the champion's role; a champion that may not speak goes on, silenced."""
    if chosen.line == CHAMPION:
        return lines
    finite = [line for line in lines if np.isfinite(line.quantiles).all()]
    silenced = [replace(line, role=SILENCED) if line.role == CHAMPION else line for line in finite]
    return [replace(line, role=CHAMPION) if line.name == chosen.line else line for line in silenced]


def keep(night: Night, settings: Settings, known: KnownThen, lines: list[Line], *, chosen: Speaker) -> int:
    """Write the baselines' model rows and every line's forecasts in one transaction; the number of forecasts added."""
    issued_at = clock.now()
    target_sessions = next_sessions(night.session, len(HORIZONS), settings.exchange)
    about = {
        "symbol": night.symbol,
        "target": night.target,
        "origin_session": night.session,
        "kind": kind_of(issued_at, night.session, settings.exchange),
        "last_value": float(actual_of(night.target, known.bars).iloc[-1]),
        "issued_at": issued_at,
        "data_as_of": known.data_as_of,
        "fetch_id": known.fetch_id,
        "run_id": night.run_id(settings),
    }
    rows = [
        {
            **about,
            "model_id": line.model_id,
            "role": line.role,
            "status": chosen.status if line.role == CHAMPION else "ok",
            "reason": chosen.reason if line.role == CHAMPION else "",
            "horizon": horizon,
            "target_session": target_sessions[place],
            "past_forecasts": line.past_forecasts[place],
            "calibration": line.calibration[place],
            "outside": line.outside,
            **{name: float(value) for name, value in zip(QUANTILE_COLUMNS, line.quantiles[place], strict=True)},
        }
        for line in lines
        for place, horizon in enumerate(HORIZONS)
    ]
    with database.transaction(settings.url) as connection:
        for line in lines:
            if line.name in baseline_names(night.target):
                writes.add_model(connection, baseline_row(line, night, settings))
        added = writes.add_forecasts(connection, rows)
    logger.info("wrote %d forecasts, origin %s, %s", added, night.session, chosen.reason or "the champion speaks")
    return added


def baseline_row(line: Line, night: Night, settings: Settings) -> Record:
    """The row in `models` of a baseline."""
    return {
        "id": line.model_id,
        "name": line.name,
        "version": BASELINE_VERSION,
        "method": "baseline",
        "symbol": night.symbol,
        "target": night.target,
        "scope": "symbol",
        "seed": settings.seed,
        "settings_hash": settings.hash,
        "code_version": code_version(),
        "created_at": clock.now(),
    }
