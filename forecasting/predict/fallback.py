"""Choose the published forecast: the network's, or the best baseline's with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import pandas as pd

from forecasting.evaluate.significance import diebold_mariano
from forecasting.preprocess.windows import NETWORK_SESSIONS
from forecasting.vocabulary import HORIZONS, LSTM, NETWORK

# Newest scored origins over which the network is compared with the best baseline: about a year
WINDOW_ORIGINS = 250
SCORED_ORIGINS = WINDOW_ORIGINS + len(HORIZONS) - 1
"""Newest scored origins that hold them: the newest of all are not scored at every horizon yet."""

BREAK_SESSIONS = 22
"""Sessions for which a forecast says that its bars have a break: the level of each input is a mean
of as many."""

MIN_ORIGINS = 60  # minimum number of them: with fewer the statistic is as likely to be chance
MAX_AGE_SESSIONS = 63  # of a fit that is published: a quarter, with a report that it has not seen
TOLERANCE = 0.05  # relative excess of the network's pinball loss that is tolerated
ENTER = 3.0
LEAVE = 1.0
"""Diebold-Mariano statistics above which a baseline comes to be published, and below which it
ceases to be.

The best baseline is chosen afterwards, so a statistic of 2 would be passed by chance. With an
excess of 2% over 60 origins and no test, as until release 0.2, fallback cost volume 1.19% of
pinball loss at the mean of eight stocks; with these limits it never sets in on them
(docs/experiments.md).
"""


@dataclass(frozen=True)
class Deficit:
    """The network's loss against the best baseline's on the same origins and horizons."""

    baseline: str  # the baseline of least loss
    origins: int
    network_pinball: float  # mean, in the target's unit
    baseline_pinball: float
    statistic: float  # Diebold-Mariano's; positive when the network lost more


def deficit_of(losses: pd.DataFrame) -> Deficit | None:
    """How the network did against the best baseline; None with fewer than MIN_ORIGINS origins.

    Compared are the newest WINDOW_ORIGINS origins of which every horizon has a loss of the network
    (published or not) and of every baseline; losses are means over the horizons, then over the
    origins.
    """
    table = _table(losses)
    if LSTM not in table.columns or table.shape[1] == 1:
        return None
    horizons = table.dropna().groupby(level="origin_session")
    by_origin = horizons.mean()[horizons.size() == len(HORIZONS)].iloc[-WINDOW_ORIGINS:]
    if len(by_origin) < MIN_ORIGINS:
        return None
    means = by_origin.mean()
    best = str(means.drop(LSTM).idxmin())
    statistic, _ = diebold_mariano(by_origin[LSTM], by_origin[best], horizon=HORIZONS[-1])
    return Deficit(
        baseline=best,
        origins=len(by_origin),
        network_pinball=float(means[LSTM]),
        baseline_pinball=float(means[best]),
        statistic=statistic,
    )


def fallback_baseline(losses: pd.DataFrame, deficit: Deficit | None, usable: Sequence[str]) -> str:
    """The baseline to publish in the network's place.

    The best by these losses, else the last, usually strongest.
    """
    best = deficit.baseline if deficit else best_baseline(losses)
    return best if best in usable else usable[-1]


def best_baseline(losses: pd.DataFrame) -> str:
    """The baseline of least mean loss where all of them have one; empty without any."""
    means = _table(losses).drop(columns=LSTM, errors="ignore").dropna().mean()
    return str(means.idxmin()) if len(means) and means.notna().all() else ""


def _table(losses: pd.DataFrame) -> pd.DataFrame:
    # pivot, not pivot_table: a duplicate must raise, not be averaged.
    known = losses.dropna(subset=["pinball"])
    key = ["origin_session", "horizon"]
    return known.pivot(index=key, columns="forecaster", values="pinball").sort_index()


@dataclass(frozen=True)
class NetworkFacts:
    """The facts that decide whether the network's forecast is published."""

    model: str | None  # the id of the newest fit that passed the gate; None without any
    # The best baseline by the scores so far, or the default one while there are none
    baseline: str = ""
    damage: str = ""  # why its artifact could not be loaded or run; empty if it could
    # From its last training session to the origin; None is no objection
    age_sessions: int | None = None
    finite: bool = True  # whether each of tonight's quantiles is a finite number
    deficit: Deficit | None = None  # None with fewer than MIN_ORIGINS scored origins
    # Whether a baseline was published in the network's place on the night before
    in_fallback: bool = False
    # Without a model, why tonight's fit is none; empty where none was asked for
    no_fit: str = ""
    # Of its history, where that is too short for a network
    young_sessions: int | None = None
    # A jump in the last BREAK_SESSIONS that no split explains
    bars_break: tuple[date, str] | None = None


@dataclass(frozen=True)
class Published:
    """The forecaster that is published, with the status and reason of its rows."""

    forecaster: str  # `network`, or the baseline's name
    status: Literal["ok", "fallback"]
    reason: str  # text with figures; if ok, empty but for a break in the bars


def choose_published(facts: NetworkFacts) -> Published:
    """The network, or the best baseline with the first objection as the reason.

    In order: a young symbol; no model; `_unusable`; a loss above the best baseline's by more than
    TOLERANCE with a statistic above ENTER. Where a baseline was published the night before, one
    above LEAVE is enough, whatever the excess.
    """
    notes = []
    if facts.bars_break is not None:
        session, rule = facts.bars_break
        notes.append(
            f"the bars before {session} may be on another share basis or in another unit ({rule})"
        )
    objection = _objection(facts)
    if not objection:
        return Published(NETWORK, "ok", "; ".join(notes))
    reasons = [objection, f"{facts.baseline} is published instead", *notes]
    return Published(facts.baseline, "fallback", "; ".join(reasons))


def history_text(sessions: int) -> str:
    """What a symbol has of the history that a network needs."""
    return f"{sessions} of {NETWORK_SESSIONS} sessions of history"


def _objection(facts: NetworkFacts) -> str:
    if facts.young_sessions is not None:
        return history_text(facts.young_sessions)
    if facts.model is None:
        why = f": {facts.no_fit.rstrip('.')}" if facts.no_fit else ""
        return f"there is no fitted network yet{why}"
    objection = _unusable(facts)
    if objection or facts.deficit is None:
        return objection
    return _behind(facts.deficit, in_fallback=facts.in_fallback)


def _unusable(facts: NetworkFacts) -> str:
    """Why the network's forecast cannot be published; empty when it can."""
    if facts.damage:
        return f"model {facts.model} cannot be used: {facts.damage.rstrip('.')}"
    if facts.age_sessions is not None and facts.age_sessions > MAX_AGE_SESSIONS:
        return (
            f"model {facts.model} was trained {facts.age_sessions} sessions before the origin "
            f"(limit {MAX_AGE_SESSIONS})"
        )
    if not facts.finite:
        return f"model {facts.model} made a forecast that is not finite"
    return ""


def _behind(deficit: Deficit, *, in_fallback: bool) -> str:
    network = deficit.network_pinball
    baseline = deficit.baseline_pinball
    is_large = in_fallback or network > baseline * (1.0 + TOLERANCE)
    limit = LEAVE if in_fallback else ENTER
    if not is_large or deficit.statistic <= limit:
        return ""
    excess = f" by {network / baseline - 1:.1%}" if baseline else ""
    return (
        f"the network is behind{excess}: mean pinball {_number(network)} against "
        f"{_number(baseline)} of {deficit.baseline} over the last {deficit.origins} scored "
        f"origins, Diebold-Mariano {deficit.statistic:+.1f}"
    )


def _number(value: float) -> str:
    # Shares run to millions, ranges to thousandths; scientific notation suits neither.
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
