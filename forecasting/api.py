"""The ledger in Python, without a scheduler: `import forecasting as fc`, then `fc.connect(url)`."""

import json
import logging
import threading
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas.api.types import is_list_like
from pydantic import SecretStr

from forecasting.errors import BadDataError, DataLateError, SymbolsFailedError, UsageError
from forecasting.evaluate.significance import p_value_of
from forecasting.ingest.sources.files import NEEDED, Table, frame_table, holding
from forecasting.ingest.sources.yahoo import page_dates
from forecasting.plain_text import named
from forecasting.publish import export
from forecasting.report.charts import FAN_SESSIONS, backtest_svg, backtest_unit, fan_svg
from forecasting.report.documents import hubverse, json_text, nixtla, nixtla_forecast
from forecasting.report.night_view import ReportData
from forecasting.report.plot import draw
from forecasting.report.units import percent
from forecasting.sessions import last_completed
from forecasting.settings import Settings, read_settings
from forecasting.store import migrate
from forecasting.store.connect import place
from forecasting.targets import TARGETS
from forecasting.values import (
    FRAME_OF_MARKET,
    NO_MARKET,
    check_choice,
    check_day,
    check_symbol,
    check_text,
)
from forecasting.vocabulary import (
    BASELINE,
    CHAMPION,
    HORIZONS,
    LSTM,
    QUANTILE_COLUMNS,
    Clock,
    Mode,
    Target,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNNAMED = "SERIES"  # the symbol of a frame without any
_NAMES = {
    "unique_id": "symbol",
    "ticker": "symbol",
    "ds": "session",
    "date": "session",
    "adj close": "adj_close",
}
_PRICES = ("open", "high", "low", "close")
_DAYS = {"session", "date", "ds"}
_IDS = {"unique_id", "symbol", "ticker"}
_SHARES = ("coverage_80", "coverage_90")
_SKILLS = ("vs_usual", "reference_skill")
_SHOWN = ["symbol", "target_session", "q10", "q50", "q90", "vs_usual", "why", "model"]
_FIGURES = [
    *("n", "mae", "pinball", "reference_skill", "baseline", "p_value"),
    *_SHARES,
]


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
_BARS = "the frame of bars"
_EVENTS = "the frame of events"
Symbols = str | Iterable[str]
Day = date | str
Market = pd.DataFrame | pd.Series | str | None
Events = pd.DataFrame | Sequence[Any] | str | None
# Fits and migrations use state of the whole process: Alembic's context, Torch's threads
_TURN = threading.RLock()
# What a caller must know is raised or a warning
logging.getLogger("forecasting").addHandler(logging.NullHandler())

__all__ = [
    "Backtest",
    "Forecast",
    "Ledger",
    "backtest",
    "connect",
    "forecast",
    "hubverse",
    "nixtla",
    "order",
]


@dataclass(frozen=True, eq=False)
class Backtest:
    """A backtest of a series or more: `forecasts` and `figures`, as the functions of that name."""

    forecasts: pd.DataFrame
    figures: pd.DataFrame

    @property
    def long(self) -> pd.DataFrame:
        """In Nixtla's long form: unique_id, ds, cutoff, y, medians and intervals by forecaster."""
        return nixtla(self.forecasts.assign(role=BASELINE, kind="replay", issued_at=0))

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
        return draw(rows, known, unit=backtest_unit(rows), ax=ax)

    def save(self, path: str | Path, horizon: int = 1, *, symbol: str | None = None) -> None:
        """Write the same as an SVG, which needs no matplotlib, to a file as for a Forecast."""
        _write_svg(path, backtest_svg(self._rows(horizon, symbol)))

    def _rows(self, horizon: int, symbol: str | None) -> pd.DataFrame:
        if horizon not in HORIZONS:
            raise UsageError(f"Invalid horizon {horizon!r:.60}: expected 1 to {len(HORIZONS)}.")
        rows = self.forecasts.query(f"model == '{LSTM}' and horizon == {horizon}")
        chosen = _chosen(rows["symbol"].unique().tolist(), symbol)
        return rows[rows["symbol"] == chosen]

    def __repr__(self) -> str:
        """Symbols, target and origins, then the main figures, a line a symbol and horizon."""
        return f"{self._title()}\n{self._table().to_string(**_TABLE)}"

    def _repr_html_(self) -> str:
        return f"<p>{self._title()}</p>{self._table().to_html(**_TABLE)}"

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
    """Forecasts of a frame of bars; a notebook shows them with their drawing.

    `quantiles`, S * h rows: symbol, target, origin_session, target_session, horizon, q05 to q95 in
    the target's unit (a range of 0.015 is 1.5%), usual, vs_usual and why (as in view
    latest_forecasts), model (the network, `lstm`, or the baseline in its place) and reason (of a
    baseline, else empty). `why` has the parts of each median, as `Ledger.why`: of a close those of
    its 80% interval's width, while vs_usual is of the price. `totals`, of volume, has a row for the
    next 2 to h sessions (horizon) together. `reports`, by symbol, are fans.
    """

    quantiles: pd.DataFrame
    totals: pd.DataFrame
    why: pd.DataFrame
    reports: Mapping[str, ReportData]

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
        known = report.history["value"].iloc[-FAN_SESSIONS:]
        return draw(report.rows, known, unit=report.unit, ax=ax)

    def save(self, path: str | Path, symbol: str | None = None) -> None:
        """Write the fan of a series as an SVG, which needs no matplotlib.

        A UsageError unless the file's name ends with .svg or .html.
        """
        _write_svg(path, fan_svg(self.reports[_chosen(self.reports, symbol)]))

    def __repr__(self) -> str:
        """The medians, their 80% intervals and why, a line a session."""
        return f"{self.quantiles.to_string(columns=_SHOWN, **_TABLE)}\n{self._note()}".rstrip()

    def _repr_html_(self) -> str:
        shown = ""
        for name, rows in self.quantiles.groupby("symbol"):
            shown += fan_svg(self.reports[str(name)]) + rows.to_html(columns=_SHOWN, **_TABLE)
        return f"{shown}<p>{self._note()}</p>"

    def _note(self) -> str:
        return TARGETS[str(self.quantiles["target"].iat[0])].note


def forecast(  # noqa: PLR0913 - the inputs of a night, each by name
    frame: pd.DataFrame,
    *,
    h: int = 5,
    symbol: str | None = None,
    target: Target = "volume",
    market: Market = None,
    events: Events = None,
    now: Clock | None = None,
) -> Forecast:
    """Forecasts of the sessions after the newest bar of each series of a frame, without a ledger.

    The same numbers as `forecasting run` gives of the first night of these bars: a network warm
    from the pretrained weights, or a baseline where that fails the gate. Four to five seconds a
    series (2026-11-28), with log lines of level INFO. What that command notes of the night, as a
    market series too old to be used, is a UserWarning here.

    Args:
        frame: (D * S rows) daily bars, unsorted or sorted: columns date (or session, or the index),
            open, high, low, close, volume, and symbol of several series; or as `download` of
            yfinance returns them; or Nixtla's long form: unique_id, ds and these, `y` in place of
            volume (target volume) or close. Target volume can do without prices. Volume NaN where
            unknown, for target volume not in the newest row; prices above 0.
        h: Sessions ahead, 1 to 5.
        symbol: Of a frame without symbols, or the one to forecast of several. Its suffix gives the
            exchange, and so the sessions; of a US stock the package knows the earnings dates.
            Without it `SERIES`, on New York's days.
        target: volume, close or range.
        market: Closes of an index by day, an input: a frame (date, close), a series, or a symbol of
            `frame`, which is then not forecast itself.
        events: Earnings dates: a frame (announced; timing `bmo`, `amc` or empty), days, or
            yfinance's earnings_dates.
        now: The clock; without it the machine's.

    Raises:
        UsageError, BadDataError: A column is missing, a value is not valid, or the newest bar is
            refused.
        ForecastingError: Under 66 sessions (HistoryError) or a failed night; a UserWarning where
            other series succeed. With 66 to 435 a baseline forecasts, and a UserWarning says so.
    """
    from forecasting.publish.pages import each_report
    from forecasting.publish.runs import run_missed

    if h not in HORIZONS:
        raise UsageError(
            f"Invalid h {h!r:.60}: expected 1 to {len(HORIZONS)} sessions ahead. The models are "
            "trained, and their intervals calibrated, for no more."
        )
    settings = read_settings().for_target(check_choice("target", target, Target))
    clock = _clock(now)
    inputs = {"source": frame, "market": market, "events": events}
    with _TURN, _frame_settings(settings, symbol, inputs) as own:
        migrate.upgrade(own.url)
        try:
            run_missed(
                own,
                as_of=None,
                mode="auto",
                now=clock,
            )
        except SymbolsFailedError as error:
            if export.frame("latest", own).empty:
                raise
            warnings.warn(str(error), UserWarning, stacklevel=2)
        reports = each_report(own, now=clock).values
        quantiles = export.frame("latest", own).query(f"horizon <= {h}")
        totals = export.frame("totals", own).query(f"horizon <= {h}")
        why = export.frame("why", own).query(f"horizon <= {h}")
    _warn_of(reports, newest=max((report.origin for report in reports.values()), default=date.min))
    if _UNNAMED in reports and events is None:
        warnings.warn(
            "The series has no name, and so no earnings dates. Of a US stock the package knows "
            'them: name it, as symbol="SBUX"; or give events.',
            UserWarning,
            stacklevel=2,
        )
    reports = {
        name: replace(report, forecasts=report.forecasts.query(f"horizon <= {h}"))
        for name, report in reports.items()
    }
    columns = ["symbol", "target", "origin_session", "target_session", "horizon"]
    columns += [*QUANTILE_COLUMNS, "usual", "vs_usual", "why", "model", "reason"]
    return Forecast(
        quantiles[columns].reset_index(drop=True),
        totals.filter(columns).reset_index(drop=True),
        why.reset_index(drop=True),
        reports,
    )


@dataclass(frozen=True)
class Ledger:
    """A ledger of forecasts; `connect` makes one. No connection stays open between calls.

    Symbols are written as Yahoo writes them, one by one or as a list; one that the ledger has
    nothing of, or no night of the `target` that is given, raises. Without any, those of
    FORECASTING_SYMBOLS are read, which raise only where all would; where it is not set, every
    symbol of the ledger. Without `target` (volume, close or range) the first of
    FORECASTING_TARGETS is meant, without `source` FORECASTING_SOURCE, and without `now`, a clock,
    the machine's. A day is a date or a text such as `2024-03-08`. In every frame sessions are naive
    midnights (datetime64[ns]), instants aware UTC (datetime64[us, UTC]), texts `string`, volumes
    `Int64`, other numbers in the target's unit float64 with NaN where unknown; columns and types
    are the same without a row. `settings` are those of the environment, with the database and the
    data folder of `connect`.
    """

    settings: Settings

    def __repr__(self) -> str:
        """Where the ledger is; of a URL without user and password."""
        return f"<Ledger {place(self.settings.url)}>"

    def latest(self, *symbols: Symbols, target: Target | None = None) -> pd.DataFrame:
        """The newest published forecasts, a row a symbol and horizon, as view latest_forecasts.

        Raises a UsageError for a symbol or target that is not valid, or of which the ledger has
        nothing, and a StoreError where the database cannot be read.
        """
        return export.frame("latest", self._asked(*symbols, target=target))

    def totals(self, *symbols: Symbols, target: Target | None = None) -> pd.DataFrame:
        """The newest published totals of the next 2 to 5 sessions, as view latest_totals.

        Of target volume; without a row for others. Raises as `latest`.
        """
        return export.frame("totals", self._asked(*symbols, target=target))

    def order(  # noqa: PLR0913 - as the command's options
        self,
        symbol: str,
        shares: float,
        *,
        participation: float = 0.1,
        chance: float = 0.9,
        by: Day | None = None,
        as_of: Day | None = None,
        now: Clock | None = None,
    ) -> dict[str, Any]:
        """When an order is done that trades a share of the volume: the document of `order --json`.

        Of each of the next five sessions what is `traded` (q10, q50, q90), the `done_chance` that
        the order is done by then, whether that `is_extrapolated` beyond the 5 or 95% quantile, and
        the participation that it `takes` to be done by then with `chance`. Days are ISO texts.

        Args:
            symbol: Whose volume.
            shares: Of the order.
            participation: Share of each session's volume that is traded, above 0 and up to 1.
            chance: With which it is to be done, above 0 and up to 0.99.
            by: A session by which it is to be done; its row is `by`.
            as_of: A past origin; without it the newest.
            now: The clock; without it the machine's.
        """
        from forecasting.publish.orders import pace_of, plan_orders

        plans = plan_orders(
            self._asked(check_symbol(symbol), target="volume"),
            {symbol: shares},
            pace_of(participation, chance, None if by is None else check_day("by", by)),
            now=_clock(now),
            as_of=None if as_of is None else check_day("as_of", as_of),
        )
        plans.raise_failed()
        document: dict[str, Any] = json.loads(json_text(plans.values[symbol]))
        return document

    def history(self, *symbols: Symbols, target: Target | None = None) -> pd.DataFrame:
        """Every forecast, of any role and kind, with its scores, as view forecast_vs_actual.

        `actual`, `error` and `pinball` are NaN while the session has no score. Raises as `latest`.
        """
        return export.frame("history", self._asked(*symbols, target=target))

    def skill(self, *symbols: Symbols, target: Target | None = None) -> pd.DataFrame:
        """Published forecasts against baselines over 20, 60 and 250 nights: view live_skill.

        `reference_skill` is what pages say, in pinball loss against the target's reference
        baseline over `reference_n` nights: 0.08 is 8% ahead. `reference_p` is Diebold and
        Mariano's p of equal loss, of horizon 1 alone. Raises as `latest`.
        """
        skill = export.frame("skill", self._asked(*symbols, target=target))
        pairs = zip(skill["reference_statistic"], skill["reference_n"], strict=True)
        return skill.assign(reference_p=[p_value_of(square**0.5, n) for square, n in pairs])

    def why(
        self,
        *symbols: Symbols,
        target: Target | None = None,
        origin: Day | None = None,
    ) -> pd.DataFrame:
        """The parts of published medians, factors whose product is q50, as table forecast_parts.

        Those of each symbol's newest origin, or of `origin`, a session. Raises as `latest`; also
        when none is of it.
        """
        day = None if origin is None else check_day("origin", origin)
        return export.frame("why", self._asked(*symbols, target=target), day=day)

    def bars(self, *symbols: Symbols, as_of: Day | None = None) -> pd.DataFrame:
        """The bars, a row a symbol and session: the columns of view bars without first_seen_at.

        With `as_of`, a session: the bars up to it as the night of that session had them, so that
        nothing restated later is among them. Raises as `latest`; also when no fetch reaches
        `as_of`, or it is no session.
        """
        day = None if as_of is None else check_day("as_of", as_of)
        return export.frame("bars", self._asked(*symbols, bars=True), day=day)

    def run_night(  # noqa: PLR0913 - as the command's options
        self,
        symbol: str,
        *,
        now: Clock | None = None,
        target: Target | None = None,
        source: str | None = None,
        market: str | None = None,
        events: str | None = None,
        as_of: Day | None = None,
        mode: Mode = "auto",
    ) -> pd.DataFrame:
        """The forecasts of the night after it was run, of any role, with the columns of `history`.

        The same steps on the same bars as `forecasting run`; a bar that is late raises, it is not
        waited for. `as_of` is the newest session whose bar may be used; without it the newest
        completed one, and all that are missing since the last finished night. `source`, `market`
        and `events` are those of the command, `mode` auto, scratch, warm or skip. Raises a
        ForecastingError where a check or the night failed, or the bar is late.
        """
        from forecasting.night.steps.predict import ISSUED_BEFORE
        from forecasting.night.symbols import own_settings
        from forecasting.publish.pages import each_report
        from forecasting.publish.runs import run_missed  # loads torch, which readers do without

        inputs = {"source": source, "market": market, "events": events}
        settings = self._settings([symbol], target, inputs)
        day = None if as_of is None else check_day("as_of", as_of)
        clock = _clock(now)
        with _TURN:
            done = run_missed(
                settings,
                as_of=day,
                mode=check_choice("mode", mode, Mode),
                now=clock,
            )
        history = export.frame("history", settings)
        forecasts = history[history["run_id"].isin(done)]
        if CHAMPION not in set(forecasts["role"]):
            warnings.warn(ISSUED_BEFORE, UserWarning, stacklevel=2)
        reports = each_report(settings, day, now=clock).values
        if day is None:
            day = last_completed(clock(), own_settings(settings, symbol).exchange)
        _warn_of(reports, newest=day)
        return forecasts.reset_index(drop=True)

    def backtest(  # noqa: PLR0913 - as the command's options
        self,
        symbol: str | None,
        first: Day,
        last: Day,
        *,
        now: Clock | None = None,
        target: Target | None = None,
        source: pd.DataFrame | str | None = None,
        market: Market = None,
        events: Events = None,
        refit_every: int = 21,
    ) -> Backtest:
        """The nights from `first` to `last` worked off apart; nothing is stored in the ledger.

        `source`, `market` and `events` are those of the command, or frames in the forms that
        `forecast` takes; `refit_every` is the number of sessions between fits. Raises a
        ForecastingError where a series has no bars that can be had, or too few: 436 sessions up to
        `first`, and 6 origins with 5 sessions after, are needed.
        """
        from forecasting.audit.run_backtest import backtest_spec, loaded
        from forecasting.evaluate.figures import figure_frame, forecast_frame
        from forecasting.night.symbols import own_settings

        if not isinstance(refit_every, int) or refit_every < 1:
            raise UsageError(
                f"Invalid refit_every {refit_every!r:.60}: expected a number of sessions, 1 or "
                "more."
            )
        first = check_day("first", first)
        last = check_day("last", last)
        inputs = {"source": source, "market": market, "events": events}
        texts = {name: value for name, value in inputs.items() if isinstance(value, str | None)}
        own = self._settings([symbol] if symbol is not None else [], target, texts)
        frames = {name: inputs[name] for name in inputs.keys() - texts.keys()}
        given = {"market": own.market, "events": own.events} | frames
        with (
            _TURN,
            _frame_settings(own, symbol, given) if frames else nullcontext(own) as settings,
        ):
            results = []
            for name in settings.symbols:
                one = own_settings(settings, name)
                spec = backtest_spec(
                    one,
                    first,
                    last,
                    refit_every=refit_every,
                )
                results.append(loaded(spec, now=_clock(now))())
        forecasts = pd.concat(map(forecast_frame, results), ignore_index=True)
        figures = pd.concat(map(figure_frame, results), ignore_index=True)
        return Backtest(forecasts, figures)

    def _asked(
        self, *symbols: Symbols, target: Target | None = None, bars: bool = False
    ) -> Settings:
        """The settings of a call that reads; of every symbol where neither it nor they name any."""
        names: list[Any] = []
        for some in symbols:
            names.extend(some if is_list_like(some) else [some])
        if symbols and not names:
            raise UsageError(
                "Expected one symbol or more, found an empty list. Leave it out for all."
            )
        settings = self._settings(names, target, {})
        of_nights = None if bars else settings.target
        if names:
            export.check_named(settings, of_nights)
            return settings
        if "symbols" not in settings.model_fields_set:
            known = export.known_symbols(settings, of_nights)
            if known:
                return settings.model_copy(update={"symbols": tuple(known)})
        export.check_settings(
            settings,
            of_nights,
            advice="That is FORECASTING_SYMBOLS, or its default: name symbols in the call.",
        )
        return settings

    def _settings(
        self, symbols: Sequence[Any], target: object, inputs: Mapping[str, object]
    ) -> Settings:
        """The settings with the symbols, target and inputs of one call, None of which keeps one."""
        update: dict[str, object] = {
            name: check_text(name, text) for name, text in inputs.items() if text is not None
        }
        if symbols:
            update["symbols"] = tuple(dict.fromkeys(map(check_symbol, symbols)))
        one = check_choice("target", self.settings.target if target is None else target, Target)
        return self.settings.model_copy(update=update).for_target(one)


def connect(url: str | None = None, *, data_dir: str | Path | None = None) -> Ledger:
    """The ledger at `url`, under the FORECASTING_ variables of the environment.

    `url` is a SQLAlchemy URL; without it FORECASTING_DATABASE_URL, else the SQLite file of
    `data_dir`, the folder of weights and reports, where nights read and write; without it
    FORECASTING_DATA_DIR. Raises a StoreError where there is no such database, or it is not migrated
    (`forecasting db upgrade` does it), and a UsageError for a variable or URL that is not valid.
    """
    update: dict[str, object] = {}
    if url is not None:
        update["database_url"] = SecretStr(check_text("url", url))
    if data_dir is not None:
        update["data_dir"] = Path(check_text("data_dir", str(data_dir)))
    settings = read_settings().model_copy(update=update)
    migrate.check_ready(settings.url, writes=False)
    return Ledger(settings)


def order(  # noqa: PLR0913 - as the command's options
    symbol: str,
    shares: float,
    *,
    participation: float = 0.1,
    chance: float = 0.9,
    by: Day | None = None,
    as_of: Day | None = None,
    now: Clock | None = None,
) -> dict[str, Any]:
    """`Ledger.order` of the ledger of `connect()`."""
    return connect().order(
        symbol,
        shares,
        participation=participation,
        chance=chance,
        by=by,
        as_of=as_of,
        now=now,
    )


def backtest(  # noqa: PLR0913 - as `forecast`
    frame: pd.DataFrame,
    first: Day,
    last: Day,
    *,
    symbol: str | None = None,
    target: Target = "volume",
    market: Market = None,
    events: Events = None,
    refit_every: int = 21,
) -> Backtest:
    """The nights from `first` to `last` of each series of a frame worked off, without a ledger.

    The frame and the other arguments are as for `forecast`, `refit_every` and what is raised as for
    `Ledger.backtest`.
    """
    without_inputs = read_settings().model_copy(update={"market": NO_MARKET, "events": None})
    return Ledger(without_inputs).backtest(
        symbol,
        first,
        last,
        target=target,
        source=_check_frame(frame),
        market=market,
        events=events,
        refit_every=refit_every,
    )


def _chosen(symbols: Collection[str], asked: str | None) -> str:
    """The symbol asked for, None for the only one; a UsageError where it is none of the symbols."""
    if asked is None and len(symbols) == 1:
        return next(iter(symbols))
    if asked is None or asked not in symbols:
        raise UsageError(f"Expected one of the symbols {', '.join(symbols)}, found {asked!r:.60}.")
    return asked


def _write_svg(path: str | Path, svg: str) -> None:
    """Write a drawing; a UsageError unless the file's name ends with .svg or .html."""
    if Path(path).suffix.lower() not in (".svg", ".html"):
        raise UsageError(
            f"Invalid path {str(path)[-60:]!r}: expected one that ends with .svg or .html."
        )
    Path(path).write_text(svg, encoding="utf-8")


def _clock(now: Clock | None) -> Clock:
    """`now`, without it the machine's clock, which `flows` has: here is its caller."""
    if now is None:
        from flows import clock

        return clock.now
    return now


def _warn_of(reports: Mapping[str, ReportData], *, newest: date) -> None:
    """Warn the caller of `forecast` or `run_night` of a run's notes, and of bars that end early."""
    from forecasting.report.wording import notices, without_bar

    for name, report in reports.items():
        texts = [notice.text for notice in notices(report) if not notice.is_of_kind]
        if report.origin < newest:
            texts.append(
                f"Its bars end with the session {report.origin}, before {newest}: its forecasts "
                "begin there."
            )
        missing = without_bar(report.findings)
        if missing:
            texts.append(
                f"Findings: {missing}; newest known {report.target} of {report.known.index[-1]}."
            )
        for text in texts:
            warnings.warn(f"{name}: {text}", UserWarning, stacklevel=3)


@contextmanager
def _frame_settings(
    settings: Settings, symbol: str | None, inputs: Mapping[str, object]
) -> Iterator[Settings]:
    """The settings with frames as inputs; with a frame of bars also of a ledger that is deleted."""
    series = [str(settings.market)]
    tables: dict[str, object] = {}
    with ExitStack() as stack:
        if "source" in inputs:
            folder = stack.enter_context(TemporaryDirectory(prefix="forecasting-"))
            settings = settings.model_copy(update=_without_ledger(Path(folder)))
            bars = _bars_of(inputs["source"], symbol=symbol, target=settings.target)
            series = bars["symbol"].unique().tolist()
            tables["source"] = frame_table(_BARS, bars, "bars")
        tables["market"] = _market_input(inputs["market"], series)
        tables["events"] = _events_input(
            inputs["events"],
            settings,
            symbol,
            series,
        )
        stack.enter_context(holding([one for one in tables.values() if isinstance(one, Table)]))
        update = {
            name: one.name if isinstance(one, Table) else one
            for name, one in tables.items()
            if one is not None
        }
        update["symbols"] = _symbols(symbol, series, market=tables["market"])
        try:
            yield settings.model_copy(update=update)
        except DataLateError as error:  # a refused bar, which waiting does not mend in a frame
            raise BadDataError(str(error)) from None


def _symbols(symbol: str | None, series: Sequence[str], *, market: object) -> tuple[str, ...]:
    """The symbol asked for, else those of the frame but the market's, unless that is alone."""
    if symbol:
        return (check_symbol(symbol),)
    others = [name for name in series if name != market]
    return tuple(map(check_symbol, others or series))


def _without_ledger(folder: Path) -> dict[str, object]:
    """The settings of a run on a frame of bars alone, in a folder of its own."""
    return {
        "data_dir": folder,
        "database_url": None,
        "witness": None,
        "notify": None,
        "runner": "local",
        "source": _BARS,
        "market": NO_MARKET,
        "events": None,
    }


def _market_input(market: object, series: Sequence[str]) -> Table | object:
    """The closes of a frame or a series by day, else the option, which is checked."""
    if isinstance(market, pd.DataFrame | pd.Series):
        closes = pd.DataFrame(market)
        # The one column is named after a series or a ticker.
        if closes.shape[1] == 1 and str(closes.columns[0]).lower() not in _DAYS:
            closes = closes.set_axis(["close"], axis="columns")
        return frame_table(FRAME_OF_MARKET, _with_days(closes), "series")
    if market in (None, NO_MARKET, *series) or str(market).startswith(("csv:", "parquet:")):
        return market
    forms = "a frame (date, close), a series by day, csv:PATH, parquet:PATH or a symbol of the bars"
    raise UsageError(f"Expected as market {forms}; found {market!r:.60}.")


def _events_input(
    events: object, settings: Settings, symbol: str | None, series: Sequence[str]
) -> Table | object:
    """The earnings dates of a frame or of days, some of the bars' symbols, else the option."""
    if events is None or isinstance(events, str):
        return events
    dates = _events_of(events, settings.exchange_of(symbol or _UNNAMED))
    if "symbol" in dates and not set(dates["symbol"]) & {symbol, *series}:
        raise UsageError(
            f"Expected earnings dates of {symbol or named(series, 3)}, found none among the events."
        )
    return frame_table(_EVENTS, dates, "events")


def _events_of(events: object, exchange: str) -> pd.DataFrame:
    """Earnings dates in a file's columns: a frame of ours, days, or yfinance's earnings_dates."""
    if isinstance(events, pd.DataFrame):
        if events.index.name != "Earnings Date":
            rows = events.rename(columns=lambda column: str(column).lower())
            if "announced" in rows and "timing" not in rows:
                rows["timing"] = ""
            return rows
        events = events.index
    if isinstance(events, pd.DatetimeIndex) and events.tz is not None:
        return page_dates(events, exchange=exchange)
    days = list(events) if isinstance(events, Iterable) else [events]
    return pd.DataFrame({"announced": days, "timing": ""})


def _check_frame(frame: object) -> pd.DataFrame:
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"Expected a frame of bars, found {type(frame).__name__}.")
    return frame


def _bars_of(frame: object, *, symbol: str | None, target: str) -> pd.DataFrame:
    """The bars in this project's names, from those of Yahoo or Nixtla; a UsageError without any."""
    whose = ""
    if symbol is not None:
        whose = f" of {check_symbol(symbol)}"
    rows = _named(_check_frame(frame), target)
    undated = int(rows["session"].isna().sum())
    if undated:
        raise UsageError(
            f"Expected a date in each row of the bars, found none in {undated}. Correct or remove "
            "them."
        )
    if "symbol" not in rows:
        rows["symbol"] = symbol or _UNNAMED
    rows["symbol"] = rows["symbol"].map(str)
    if rows.empty or (symbol and symbol not in set(rows["symbol"])):
        raise UsageError(f"Expected bars{whose}, found no row.")
    return rows.drop(columns="y", errors="ignore").reset_index(drop=True)


def _named(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """The frame with days as a column and columns in our names, each once and none missing."""
    given = _with_days(frame)
    names = given.columns.map(lambda column: str(column).lower()).to_series().replace(_NAMES)
    if len(TARGETS[target].columns) == 1:
        names = names.replace("y", target)
    twice = names.duplicated(keep=False)
    if twice.any():
        first = names == names[twice].iat[0]
        raise UsageError(
            f"Expected one column in place of {' and '.join(map(str, given.columns[first]))}. "
            "Remove the others."
        )
    rows = given.set_axis(names, axis="columns")
    if target == "volume" and rows.columns.isin(_PRICES).sum() == 0:
        # A price that never moves is an input that says nothing
        rows = rows.assign(**dict.fromkeys(_PRICES, 1.0))
    missing = ", ".join(name for name in NEEDED["bars"] if name not in rows)
    if missing:
        raise UsageError(
            "Expected bars with columns date (or ds), open, high, low, close and volume, which "
            f"are inputs of every target; {missing.replace('session', 'date')} missing among "
            f"{', '.join(map(str, frame.columns))[:200]}. Volume alone is forecast without prices."
        )
    return rows


def _with_days(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its index as columns, unless it only counts rows or a column has the days."""
    if frame.columns.nlevels > 1:  # yfinance's: of price and ticker, in either order
        level = int("Close" in frame.columns.get_level_values(0))
        long = pd.DataFrame(frame.stack(level, future_stack=True))
        frame = long.dropna(how="all").rename_axis(["date", "symbol"])
    index = {str(name).lower() for name in frame.index.names}
    columns = {str(name).lower() for name in frame.columns}
    has_days = columns & _DAYS and not index & _IDS
    if has_days or isinstance(frame.index, pd.RangeIndex):
        return frame
    names = ["date" if name is None else str(name) for name in frame.index.names]
    return frame.reset_index(names=names)
