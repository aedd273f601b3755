"""One symbol's night: what is asked, what it runs under, and the id and folders that follow from both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from forecasting.errors import UsageError
from forecasting.ids import short_id
from forecasting.market_choice import MarketChoice
from forecasting.option_values import source_name
from forecasting.pipeline.folders import child_folder
from forecasting.sessions import last_completed
from forecasting.settings import Settings
from forecasting.store.connect import place
from forecasting.vocabulary import Clock, Mode, Target

ARTIFACTS = "artifacts"
"""Folder of the models' folders, below the data folder."""

REPORTS = "reports"
"""Folder of the pages, below the data folder."""

BACKTESTS = "backtests"
"""Folder of finished refits, below the data folder."""

PRETRAINED = "weights"
"""Folder of the folders of pretrained weights that the user made, below the data folder."""

WINDOWS, COMPANIONS = "windows.npz", "companions"
"""In a run's folder: the file of its windows, and the folder of its companions' windows, *.npz."""


@dataclass(frozen=True)
class NightSpec:
    """What one night is asked to do: the part that travels between Prefect tasks.

    Attributes:
        symbol: Yahoo's ticker.
        session: The origin: the newest session whose bar the night may use.
        target: What is forecast.
        source: `yahoo`, `csv:PATH`, `parquet:PATH`, `sample` or an installed `NAME:ARGUMENT`.
        events: `csv:PATH` of earnings dates, or None for the bundled ones.
        mode: How the challenger is fitted.
        trigger: `run` (by hand), `schedule` (unattended) or `catch-up`.
        market: FORECASTING_MARKET or the option in its place; None for the source's default.
    """

    symbol: str
    session: date
    target: Target
    source: str
    events: str | None = None
    mode: Mode = "auto"
    trigger: str = "run"
    market: str | None = None


@dataclass(frozen=True)
class NightInputs:
    """What preprocess hands to the later steps: small enough to travel, and looked up once a night.

    Attributes:
        windows_path: The file of the night's windows.
        fetch_id: The fetch whose bars the night uses.
        data_as_of: When that fetch was made; nothing stored later is used.
        companion_fetches: The fetch of each companion whose windows lie beside the night's own, by symbol.
    """

    windows_path: str
    fetch_id: str
    data_as_of: datetime
    companion_fetches: dict[str, str]


@dataclass(frozen=True)
class NightRun:
    """One night and what it runs under.

    Attributes:
        spec: What is asked.
        settings: Of this symbol and target alone; `night_run` makes them so.
        now: The clock, handed in by flows; tests hand in another.
        flow_run_id: Prefect's; None without it.
        fetch_id: In a replay, the fetch whose bars the night used; None: the rule of `snapshot.input_fetch` finds it.
        stored_id: In a replay, the run's id; releases up to 0.2 made it of a file's path, not of its name.
    """

    spec: NightSpec
    settings: Settings
    now: Clock
    flow_run_id: str | None = None
    fetch_id: str | None = None
    stored_id: str | None = None

    @property
    def id(self) -> str:
        """The run's id: the same night under the same settings has the same, so that a repeated run finds its rows."""
        spec, source = self.spec, source_name(self.spec.source)
        parts = ("run", spec.symbol, spec.session.isoformat(), spec.target, source, self.settings.hash)
        return self.stored_id or short_id(*parts)

    @property
    def folder(self) -> Path:
        """Where the run keeps what its steps hand each other; emptied when the night is done."""
        return runs_folder(self.settings) / self.id

    def market(self, choice: MarketChoice, session: date) -> NightRun:
        """The night of the market series at its own `session`: its bars are fetched, nothing of it is forecast."""
        spec = NightSpec(choice.symbol, session, self.spec.target, choice.source, market=self.spec.market)
        settings = self.settings.model_copy(update={"symbols": (choice.symbol,), "exchange": choice.exchange})
        return NightRun(spec, settings, self.now, self.flow_run_id)

    def companion(self, symbol: str) -> NightRun:
        """The same night of a companion: its bars are fetched, nothing of it is forecast."""
        spec = NightSpec(symbol, self.spec.session, self.spec.target, self.spec.source, None, self.spec.mode)
        return NightRun(spec, self.settings.for_symbol(symbol), self.now, self.flow_run_id)


def night_run(spec: NightSpec, settings: Settings, *, now: Clock, flow_run_id: str | None = None) -> NightRun:
    """The night under the settings of its symbol and target: its own exchange, and so its own hash.

    Raises:
        UsageError: The session has not closed: whatever a source or a caller names, it is no origin.
    """
    asked = {"target": spec.target, "source": spec.source, "market": spec.market}
    own = settings.for_symbol(spec.symbol).model_copy(update=asked)
    check_closed(spec.session, own.exchange, now=now)
    return NightRun(spec, own, now, flow_run_id)


def check_closed(session: date, exchange: str, *, now: Clock) -> None:
    """Refuse a session that has not closed.

    Raises:
        UsageError: Names the session, the newest one that has closed, and this machine's clock.
    """
    at = now()
    newest = last_completed(at, exchange)
    if session > newest:
        raise UsageError(
            f"Expected a session of {exchange} that has closed; found {session}, and the newest that has closed is "
            f"{newest}. Name that one or an older one, or correct this machine's clock, which is at "
            f"{at:%Y-%m-%d %H:%M} UTC."
        )


def runs_folder(settings: Settings) -> Path:
    """The parent of the folders of all runs of this ledger.

    Two ledgers on one data folder have the same ids, and one would train on the other's windows, or delete them.
    """
    return settings.data_dir.absolute() / "runs" / short_id(place(settings.url))


def network_id(run_id: str, method: str) -> str:
    """The id of the network that a night fits by a method, and the name of the folder of its weights."""
    return short_id("model", run_id, method)


def artifact_folder(settings: Settings, model_id: str) -> Path:
    """The folder of a model's weights and their JSON.

    Raises:
        ArtifactError: `model_id` is no id, or the folder is a symbolic link.
    """
    return child_folder(settings.data_dir.absolute() / ARTIFACTS, model_id)


def report_path(settings: Settings, symbol: str, target: Target, *, origin: date | None = None) -> Path:
    """The report page of a symbol and target; of the past night `origin` a page of its own."""
    return settings.data_dir.absolute() / REPORTS / page_name(symbol, target, origin=origin)


def page_name(symbol: str, target: Target, *, origin: date | None = None) -> str:
    """The page's file name; `^` is awkward in shells and links."""
    return f"{symbol.replace('^', '_')}-{target}{f'-{origin}' if origin else ''}.html"
