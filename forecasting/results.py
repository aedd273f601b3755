"""What `forecast` and `backtest` return: frames, and their drawing with matplotlib."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from forecasting.errors import UsageError
from forecasting.plain_text import named
from forecasting.report.documents import nixtla, nixtla_forecast
from forecasting.report.night_view import NightView
from forecasting.report.plot import draw
from forecasting.report.units import percent, unit_for
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, LSTM, QUANTILE_COLUMNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHARES = ("coverage_80", "coverage_90")
_SKILLS = ("vs_usual", "reference_skill", "lead")
_PLOTTED = 40  # newest sessions before a fan
_SHOWN = ["symbol", "target_session", "q10", "q50", "q90", "vs_usual", "why", "model"]
_FIGURES = ["n", "mae", "pinball", "reference_skill", "baseline", "p_value", *_SHARES]


def _without_exponent(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1e4 else f"{number:#.5g}"


_TABLE: dict[str, Any] = {
    "index": False,
    "max_rows": 20,
    "float_format": _without_exponent,
    "formatters": {
        **dict.fromkeys(_SHARES, partial(percent, decimals=1)),
        **dict.fromkeys(_SKILLS, partial(percent, signed=True, decimals=1)),
    },
}


@dataclass(frozen=True, eq=False)
class Backtest:
    """A backtest of a series or more: `forecasts` and `figures`, as the functions of that name.

    `comparison` has a row a forecaster: the lead over it one session ahead in pinball loss, over
    how many nights, the p of equal loss and the series' verdict: use (them), no_better (than the
    reference baseline), own_better (yours is) or too_few (nights to say).
    """

    forecasts: pd.DataFrame
    figures: pd.DataFrame
    comparison: pd.DataFrame

    @property
    def long(self) -> pd.DataFrame:
        """In Nixtla's long form: unique_id, ds, cutoff, y, medians and intervals by forecaster."""
        return nixtla(self.forecasts.rename(columns={"model": "forecaster"}))

    def plot(
        self, horizon: int = 1, *, symbol: str | None = None, ax: "Axes | None" = None
    ) -> "Axes":
        """The network's medians and intervals at a horizon, 1 to 5, and the actual values.

        Args:
            horizon: Sessions ahead.
            symbol: As for a Forecast.
            ax: As for a Forecast.
        """
        rows = self._rows(horizon, symbol)
        known = rows.set_index("target_session")["actual"]
        unit = unit_for(rows["target"].iloc[0], usual=float(known.median()))
        return draw(rows, known, unit=unit, ax=ax)

    def _rows(self, horizon: int, symbol: str | None) -> pd.DataFrame:
        if horizon not in HORIZONS:
            raise UsageError(f"Invalid horizon {horizon!r:.60}: expected 1 to {len(HORIZONS)}.")
        rows = self.forecasts.query(f"model == '{LSTM}' and horizon == {horizon}")
        chosen = _chosen(rows["symbol"].unique().tolist(), symbol)
        return rows[rows["symbol"] == chosen]

    def __repr__(self) -> str:
        """Symbols, target and origins, the main figures by symbol and horizon, the comparison."""
        compared = self.comparison.to_string(**_TABLE)
        return f"{self._title()}\n{self._table().to_string(**_TABLE)}\n\n{compared}"

    def _repr_html_(self) -> str:
        compared = self.comparison.to_html(**_TABLE)
        return f"<p>{self._title()}</p>{self._table().to_html(**_TABLE)}{compared}"

    def _title(self) -> str:
        figures = self.figures
        names = named(figures["symbol"].unique().tolist(), 3)
        target = str(figures["target"].iat[0])
        return (
            f"{names} {target}, origins {figures['window_from'].min():%Y-%m-%d} to "
            f"{figures['window_to'].max():%Y-%m-%d}; horizon 0: mean over all; "
            "reference_skill and p_value: of pinball loss against the baseline."
        )

    def _table(self) -> pd.DataFrame:
        keys = ["symbol", "horizon"]
        tests = self.figures.set_index(["metric", *keys])[["n", "baseline", "p_value"]]
        values = self.figures.pivot(index=keys, columns="metric", values="value")
        return values.join(tests.loc["reference_skill"])[_FIGURES].reset_index()


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecasts of a frame of bars.

    `quantiles`, S * h rows: symbol, target, origin_session, target_session, horizon, q05 to q95 in
    the target's unit (a range of 0.015 is 1.5%), usual, vs_usual and why (as in view
    latest_forecasts), model (the network, `lstm`, or the baseline in its place) and reason (of a
    baseline, else empty). `why` has the parts of each median, as `Ledger.why`. `totals`, of
    volume, has a row for the next 2 to h sessions (horizon) together. `reports`, by symbol, are
    fans.
    """

    quantiles: pd.DataFrame
    totals: pd.DataFrame
    why: pd.DataFrame
    reports: Mapping[str, NightView]

    @property
    def long(self) -> pd.DataFrame:
        """In Nixtla's long form: unique_id, ds, cutoff, `published` (the median), its intervals."""
        return nixtla_forecast(self.quantiles)

    def plot(self, symbol: str | None = None, *, ax: "Axes | None" = None) -> "Axes":
        """The fan of a series after its newest sessions, drawn with matplotlib.

        Args:
            symbol: May be left out where there is one; else a UsageError.
            ax: The axes to draw on; without them those of a new figure, which needs matplotlib
                (`pip install 'forecasting[plot]'`).
        """
        report = self.reports[_chosen(self.reports, symbol)]
        known = report.history["value"].iloc[-_PLOTTED:]
        return draw(report.rows, known, unit=report.unit, ax=ax)

    def paths(self, paths: int = 1000, *, symbol: str | None = None) -> pd.DataFrame:
        """Joint paths of a series' volume, as `Ledger.paths`.

        Args:
            paths: How many, up to 4,096.
            symbol: As for `plot`.
        """
        chosen = _chosen(self.reports, symbol)
        frames = (frame[frame["symbol"] == chosen] for frame in (self.quantiles, self.totals))
        return path_frame(*frames, paths=paths)

    def __repr__(self) -> str:
        """The medians, their 80% intervals and why, a line a session."""
        return f"{self.quantiles.to_string(columns=_SHOWN, **_TABLE)}\n{self._note()}".rstrip()

    def _repr_html_(self) -> str:
        return f"{self.quantiles.to_html(columns=_SHOWN, **_TABLE)}<p>{self._note()}</p>"

    def _note(self) -> str:
        return TARGETS[str(self.quantiles["target"].iat[0])].note


def path_frame(sessions: pd.DataFrame, totals: pd.DataFrame, *, paths: int) -> pd.DataFrame:
    """The frame of `Ledger.paths`, of one symbol's sessions and totals, the nearest first."""
    from forecasting.predict.totals import DRAWS, paths_of

    if not isinstance(paths, int) or not 1 <= paths <= DRAWS:
        raise UsageError(f"Invalid paths {paths!r:.60}: expected 1 to {DRAWS:,}.")
    totals = totals[totals["horizon"] <= len(sessions)]
    if len(totals) != len(sessions) - 1:
        raise UsageError("Expected forecasts with totals, found none: volume alone has them.")
    factor = 1.0 if totals.empty else float(totals["factor"].iloc[0])
    volumes = paths_of(sessions[list(QUANTILE_COLUMNS)].to_numpy(dtype=float), factor, paths)
    days = pd.DatetimeIndex(sessions["target_session"], name="target_session")
    return pd.DataFrame(volumes, columns=days).rename_axis("path")


def _chosen(symbols: Collection[str], asked: str | None) -> str:
    """The symbol asked for, None for the only one; a UsageError where it is none of the symbols."""
    if asked is None and len(symbols) == 1:
        return next(iter(symbols))
    if asked is None or asked not in symbols:
        raise UsageError(f"Expected one of the symbols {', '.join(symbols)}, found {asked!r:.60}.")
    return asked
