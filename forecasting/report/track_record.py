"""The published forecasts' track record: the scores that count, skill against each baseline, coverage and its band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.report.data import as_day

ENOUGH_LIVE = 20
"""From this many live origins on, late and replayed forecasts no longer count."""

_KIND_ORDER = {"live": 0, "late": 1, "replay": 2}
_FORECAST = ["origin_session", "horizon"]


@dataclass(frozen=True)
class TrackRecord:
    """One score per forecast, of published forecasts and baselines.

    Attributes:
        published: Rows of role champion, the columns of ReportData.scored, sessions as dates, oldest first.
        baselines: Rows of role baseline, likewise.
        kinds: Number of origins of each kind that count.
    """

    published: pd.DataFrame
    baselines: pd.DataFrame
    kinds: dict[str, int]

    @property
    def origins(self) -> int:
        """The number of origins with a score."""
        return int(self.published["origin_session"].nunique())

    def ahead(self, horizon: int) -> pd.DataFrame:
        """The published forecasts of one horizon, oldest first."""
        return self.published[self.published["horizon"] == horizon].reset_index(drop=True)


def track_record(scored: pd.DataFrame) -> TrackRecord:
    """The scores that count: the settled and newest of each forecast, live before late before replay.

    Live forecasts alone count once there are ENOUGH_LIVE origins of them; until then every kind does; see `kinds`.

    Args:
        scored: As ReportData.scored; may have no rows.
    """
    rows = scored[scored["role"].isin(["champion", "baseline"])].copy()
    for column in ("origin_session", "target_session"):
        rows[column] = [as_day(value) for value in rows[column]]
    rows["kind_order"] = rows["kind"].map(_KIND_ORDER)
    rows["is_settled"] = rows["stage"] == "settled"
    # Baselines differ by name; the published forecasts are one series, whichever models made them.
    rows["forecaster"] = rows["name"].where(rows["role"] == "baseline", "")
    # Best last: live over late, settled over first print, a restated bar over the old one, a later run over an earlier.
    rows = rows.sort_values(
        ["origin_session", "horizon", "kind_order", "is_settled", "bar_version", "issued_at"],
        ascending=[True, True, False, True, True, True],
    ).drop_duplicates(["role", "forecaster", *_FORECAST], keep="last")
    published = rows[rows["role"] == "champion"]
    if published.loc[published["kind"] == "live", "origin_session"].nunique() >= ENOUGH_LIVE:
        rows = rows[rows["kind"] == "live"]
        published = rows[rows["role"] == "champion"]
    kinds = published.groupby("kind")["origin_session"].nunique()
    return TrackRecord(
        published=published.reset_index(drop=True),
        baselines=rows[rows["role"] == "baseline"].reset_index(drop=True),
        kinds={str(kind): int(count) for kind, count in kinds.items()},
    )


def skills(record: TrackRecord) -> pd.DataFrame:
    """Losses of the published forecasts and of each baseline on the same sessions, best baseline first.

    Returns:
        One row per baseline and horizon, horizon 0 for all of them pooled: baseline, horizon, n, mae, pinball,
        baseline_mae, baseline_pinball, skill_mae, skill_pinball. Skill is 1 - ours / theirs: positive when ours is
        better, NaN when theirs is 0.
    """
    keys = [*_FORECAST, "kind"]
    ours = record.published[[*keys, "error", "pinball"]]
    theirs = record.baselines[[*keys, "name", "error", "pinball"]]
    pairs = ours.merge(theirs, on=keys, suffixes=("", "_theirs"))
    if pairs.empty:
        return pd.DataFrame(columns=["baseline", "horizon", "n", "mae", "pinball", "skill_mae", "skill_pinball"])
    pooled = pd.concat([pairs.assign(horizon=0), pairs])
    groups = pooled.groupby(["name", "horizon"])
    found = pd.DataFrame([_skill_row(str(name), int(str(horizon)), group) for (name, horizon), group in groups])
    best_first = found[found["horizon"] == 0].sort_values(["baseline_pinball", "baseline"])["baseline"].tolist()
    order = found["baseline"].map({name: position for position, name in enumerate(best_first)})
    return found.assign(order=order).sort_values(["order", "horizon"], ignore_index=True).drop(columns="order")


def coverages(record: TrackRecord) -> pd.DataFrame:
    """The share of actuals inside the 80 and 90 % intervals, by horizon.

    Returns:
        level (0.8, 0.9), horizon, n, share, low, high: the share lies from `low` to `high` in 95 % of cases if the
        interval is right and forecasts are independent (binomial).
    """
    rows = []
    for level, column in ((0.8, "inside_80"), (0.9, "inside_90")):
        for horizon, group in record.published.groupby("horizon"):
            low, high = binomial_band(len(group), level)
            share = float(group[column].astype(float).mean())
            rows.append({"level": level, "horizon": horizon, "n": len(group), "share": share, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["level", "horizon", "n", "share", "low", "high"])


def binomial_band(n: int, level: float) -> tuple[float, float]:
    """The central 95 % of the share of hits in `n` independent tries, each a hit with probability `level`.

    Args:
        n: Tries; at least 1.
        level: Between 0 and 1.
    """
    from scipy.stats import binom

    return float(binom.ppf(0.025, n, level)) / n, float(binom.ppf(0.975, n, level)) / n


def _skill_row(name: str, horizon: int, group: pd.DataFrame) -> dict[str, object]:
    mae, theirs = float(group["error"].abs().mean()), float(group["error_theirs"].abs().mean())
    pinball, their_pinball = float(group["pinball"].mean()), float(group["pinball_theirs"].mean())
    return {
        "baseline": name,
        "horizon": horizon,
        "n": len(group),
        "mae": mae,
        "pinball": pinball,
        "baseline_mae": theirs,
        "baseline_pinball": their_pinball,
        "skill_mae": _skill(mae, theirs),
        "skill_pinball": _skill(pinball, their_pinball),
    }


def _skill(ours: float, theirs: float) -> float:
    return 1.0 - ours / theirs if theirs else float(np.nan)
