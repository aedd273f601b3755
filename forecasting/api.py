"""The ledger in Python, without a scheduler: `import forecasting as fc`, then `fc.connect(url)`."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from pandas.api.types import is_list_like
from pydantic import SecretStr

from forecasting.errors import ForecastingError, UsageError
from forecasting.evaluate.significance import p_value_of
from forecasting.in_memory import (
    TURN,
    Events,
    Market,
    check_frame,
    clock_of,
    forecast,
    held_inputs,
    warn_of,
    with_inputs,
    without_inputs,
)
from forecasting.publish import export
from forecasting.results import Backtest, Forecast, path_frame
from forecasting.sessions import last_completed
from forecasting.settings import Settings, read_settings
from forecasting.store import migrate
from forecasting.store.connect import place
from forecasting.values import check_choice, check_day, check_rival, check_symbol, check_text
from forecasting.vocabulary import Clock, Mode, Target

Symbols = str | Iterable[str]
Day = date | str
# What a caller must know is raised or a warning
logging.getLogger("forecasting").addHandler(logging.NullHandler())

__all__ = ["Backtest", "Forecast", "Ledger", "backtest", "connect", "forecast", "order"]


@dataclass(frozen=True)
class Ledger:
    """A ledger of forecasts; `connect` makes one. No connection stays open between calls.

    Symbols are written as Yahoo writes them, one by one or as a list; one that the ledger has
    nothing of, or no night of the `target` that is given, raises. Without any, those of
    FORECASTING_SYMBOLS are read, which raise only where all would; where it is not set, every
    symbol of the ledger. Without `target` (volume or range) the first of
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
        return export.frame("latest", self._for_reading(*symbols, target=target))

    def totals(self, *symbols: Symbols, target: Target | None = None) -> pd.DataFrame:
        """The newest published totals of 2 to 5, 10 and 20 sessions, as view latest_totals.

        Of target volume; without a row for others. Raises as `latest`.
        """
        return export.frame("totals", self._for_reading(*symbols, target=target))

    def paths(self, symbol: str, paths: int = 1000) -> pd.DataFrame:
        """Joint paths of the volume of the next five sessions: a row a path, a column a session.

        In shares, the lowest total first, always the same. They are the draws of which the totals
        are made: all 4,096 of them have the quantiles of `totals`, fewer nearly. Raises as
        `latest`.
        """
        settings = self._for_reading(symbol, target="volume")
        return path_frame(
            export.frame("latest", settings), export.frame("totals", settings), paths=paths
        )

    def order(
        self,
        symbol: str,
        shares: float,
        *,
        participation: float = 0.1,
        chance: float = 0.9,
        as_of: Day | None = None,
        now: Clock | None = None,
    ) -> pd.DataFrame:
        """When an order is done that trades a share of the volume: a row a session.

        Of each of the next sessions what is traded (`traded_q10`, `traded_q50`, `traded_q90`), the
        `done_chance` that the order is done by then, whether that `is_extrapolated` beyond the 5 or
        95% quantile, and the participation that it `takes` to be done by then with `chance`; in
        every row `done_by` (NaT where it is by none of them), `sessions_needed` and `is_stale`.
        Raises as `latest`.

        Args:
            symbol: Whose volume.
            shares: Of the order.
            participation: Share of each session's volume that is traded, above 0 and up to 1.
            chance: With which it is to be done, above 0 and up to 0.99.
            as_of: A past origin; without it the newest.
            now: The clock; without it the machine's.
        """
        from forecasting.publish.orders import order_frame, order_of, pace_of, plan_order

        symbol = check_symbol(symbol)
        plan = plan_order(
            self._for_reading(symbol, target="volume"),
            symbol,
            order_of(shares),
            pace_of(participation, chance),
            now=clock_of(now),
            as_of=None if as_of is None else check_day("as_of", as_of),
        )
        return export.typed(order_frame(plan))

    def history(self, *symbols: Symbols, target: Target | None = None) -> pd.DataFrame:
        """Every forecast, of any role and kind, with its scores, as view forecast_vs_actual.

        `actual`, `error` and `pinball` are NaN while the session has no score. Raises as `latest`.
        """
        return export.frame("history", self._for_reading(*symbols, target=target))

    def long(self, *symbols: Symbols, target: Target | None = None) -> pd.DataFrame:
        """The scores that count, a row a session and origin, in Nixtla's long form.

        Columns unique_id, ds, cutoff and y, then of the network (`LSTM`), of what was `published`
        and of each baseline its median and intervals, as `export nixtla` writes them. Raises as
        `latest`.
        """
        return export.frame("nixtla", self._for_reading(*symbols, target=target))

    def skill(self, *symbols: Symbols, target: Target | None = None) -> pd.DataFrame:
        """Published forecasts against baselines over 20, 60 and 250 nights: view live_skill.

        `reference_skill` is what pages say, in pinball loss against the target's reference
        baseline over `reference_n` nights: 0.08 is 8% ahead. `reference_p` is Diebold and
        Mariano's p of equal loss, of horizon 1 alone. Raises as `latest`.
        """
        skill = export.frame("skill", self._for_reading(*symbols, target=target))
        pairs = zip(skill["reference_statistic"], skill["reference_n"], strict=True)
        return skill.assign(reference_p=[p_value_of(square**0.5, n) for square, n in pairs])

    def why(
        self, *symbols: Symbols, target: Target | None = None, origin: Day | None = None
    ) -> pd.DataFrame:
        """The parts of published medians, factors whose product is q50, as table forecast_parts.

        Those of each symbol's newest origin, or of `origin`, a session. Raises as `latest`; also
        when none is of it.
        """
        day = None if origin is None else check_day("origin", origin)
        return export.frame("why", self._for_reading(*symbols, target=target), day=day)

    def bars(self, *symbols: Symbols, as_of: Day | None = None) -> pd.DataFrame:
        """The bars, a row a symbol and session: the columns of view bars without first_seen_at.

        With `as_of`, a session: the bars up to it as the night of that session had them, so that
        nothing restated later is among them. Raises as `latest`; also when no fetch reaches
        `as_of`, or it is no session.
        """
        day = None if as_of is None else check_day("as_of", as_of)
        return export.frame("bars", self._for_reading(*symbols, bars=True), day=day)

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
        and `events` are those of the command, `mode` auto, scratch, warm or skip. A night that is
        finished comes back as it is, whatever its market series and events; a UsageError of a
        source that is not that of the stored bars. Raises a ForecastingError where a check
        or the night failed, or the bar is late.
        """
        from forecasting.publish.pages import each_report
        from forecasting.publish.runs import run_missed  # loads torch, which readers do without

        settings = self._settings([symbol], target)
        settings = with_inputs(settings, source=source, market=market, events=events)
        day = None if as_of is None else check_day("as_of", as_of)
        clock = clock_of(now)
        with TURN:
            done = run_missed(settings, as_of=day, mode=check_choice("mode", mode, Mode), now=clock)
        reports = each_report(settings, day, now=clock).values
        if day is None:
            day = last_completed(clock(), settings.exchange_of(settings.symbol))
        warn_of(reports, newest=day)
        history = export.frame("history", settings)
        return history[history["run_id"].isin(done)].reset_index(drop=True)

    def backtest(  # noqa: PLR0913 - as the command's options
        self,
        symbol: str | None,
        first: Day | None = None,
        last: Day | None = None,
        *,
        now: Clock | None = None,
        target: Target | None = None,
        source: pd.DataFrame | str | None = None,
        market: Market = None,
        events: Events = None,
        refit_every: int = 21,
    ) -> Backtest:
        """The nights from `first` to `last` worked off apart; nothing is stored in the ledger.

        Without `last` to the newest, without `first` the newest 250 up to it.
        `source`, `market` and `events` are those of the command, or frames in the forms that
        `forecast` takes; `refit_every` is the number of sessions between fits. Several symbols
        take a process a core. Raises a ForecastingError where a series has no bars that can be had,
        or too few: 436 sessions up to `first`, and 6 origins with 5 sessions after, are needed.
        """
        from forecasting.audit.run_backtest import backtest_spec, planned, results
        from forecasting.evaluate.figures import comparison_frame, figure_frame, forecast_frame

        if not isinstance(refit_every, int) or refit_every < 1:
            raise UsageError(
                f"Invalid refit_every {refit_every!r:.60}: expected a number of sessions, 1 or "
                "more."
            )
        first = None if first is None else check_day("first", first)
        last = None if last is None else check_day("last", last)
        given = self._settings([symbol] if symbol is not None else [], target)
        inputs = held_inputs(given, symbol, source=source, market=market, events=events)
        each = {}
        made = []
        with TURN, inputs as settings:
            for name in settings.symbols:
                of_symbol = settings.for_symbol(name)
                spec = backtest_spec(of_symbol, first, last, refit_every=refit_every)
                each[name] = planned(spec, now=clock_of(now))
            for _, result in results(each):
                if isinstance(result, ForecastingError):
                    raise result
                made.append(result)
        forecasts = pd.concat(map(forecast_frame, made), ignore_index=True)
        figures = pd.concat(map(figure_frame, made), ignore_index=True)
        comparison = pd.concat(map(comparison_frame, made), ignore_index=True)
        return Backtest(forecasts, figures, comparison)

    def _for_reading(
        self, *symbols: Symbols, target: Target | None = None, bars: bool = False
    ) -> Settings:
        """The settings of a call that reads; without a symbol, those of every one of the ledger."""
        names: list[Any] = []
        for given in symbols:
            names.extend(given if is_list_like(given) else [given])
        if symbols and not names:
            raise UsageError(
                "Expected one symbol or more, found an empty list. Leave it out for all."
            )
        settings = self._settings(names, target)
        of_nights = None if bars else settings.target
        if names:
            export.check_known(settings, of_nights)
            return settings
        if "symbols" not in settings.model_fields_set:
            known = export.known_symbols(settings, of_nights)
            if known:
                return settings.model_copy(update={"symbols": tuple(known)})
        export.check_known(
            settings,
            of_nights,
            named_in_call=False,
            advice="That is FORECASTING_SYMBOLS, or its default: name symbols in the call.",
        )
        return settings

    def _settings(self, symbols: Sequence[Any], target: object) -> Settings:
        """The settings with the symbols and target of one call; without them those in force."""
        settings = self.settings
        if symbols:
            names = tuple(dict.fromkeys(map(check_symbol, symbols)))
            settings = settings.model_copy(update={"symbols": names})
        chosen = settings.target if target is None else target
        return settings.for_target(check_choice("target", chosen, Target))


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


def order(
    symbol: str,
    shares: float,
    *,
    participation: float = 0.1,
    chance: float = 0.9,
    as_of: Day | None = None,
    now: Clock | None = None,
) -> pd.DataFrame:
    """The frame of `Ledger.order`, of the ledger that `connect()` opens."""
    return connect().order(
        symbol, shares, participation=participation, chance=chance, as_of=as_of, now=now
    )


def backtest(  # noqa: PLR0913 - as `forecast`
    frame: pd.DataFrame,
    first: Day | None = None,
    last: Day | None = None,
    *,
    symbol: str | None = None,
    target: Target = "volume",
    market: Market = None,
    events: Events = None,
    rivals: Mapping[str, Any] = MappingProxyType({}),
    refit_every: int = 21,
) -> Backtest:
    """The nights from `first` to `last` of each series of a frame worked off, without a ledger.

    Without days the newest 250 of each.
    The frame and the other arguments are as for `forecast`, `refit_every` and what is raised as for
    `Ledger.backtest`. `rivals` are your own forecasts by name: a series of medians by session, each
    made after the session before, or a function of history and calendar (docs/developer.md).
    """
    own = {check_rival(name): rivals[name] for name in rivals}
    return Ledger(without_inputs().model_copy(update={"rivals": own})).backtest(
        symbol,
        first,
        last,
        target=target,
        source=check_frame(frame),
        market=market,
        events=events,
        refit_every=refit_every,
    )
