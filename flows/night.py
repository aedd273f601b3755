"""One symbol's night: the small value that travels between Prefect tasks, and the names and folders derived from it."""

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from forecasting.settings import Mode, Settings, Target, read_settings


@dataclass(frozen=True)
class Night:
    """What one night is asked to do.

    Attributes:
        symbol: Yahoo's ticker.
        session: The origin: newest session the night may know.
        target: What is forecast.
        source: `yahoo`, `csv:PATH`, `parquet:PATH`, `sample` or an installed `NAME:ARGUMENT`.
        events: `csv:PATH` of earnings dates, or None for the bundled ones.
        mode: How the challenger is fitted.
        trigger: `run`, `schedule` or `catch-up`.
    """

    symbol: str
    session: date
    target: Target
    source: str
    events: str | None = None
    mode: Mode = "auto"
    trigger: str = "run"

    def settings(self) -> Settings:
        """The settings in force for this night's symbol and target: its own exchange, and so its own hash."""
        return read_settings().for_symbol(self.symbol).model_copy(update={"target": self.target})

    def run_id(self, settings: Settings) -> str:
        """The same night under the same settings has the same id, so that running it again finds its own rows."""
        own = settings.for_symbol(self.symbol)  # whoever asks, with the settings of one symbol or of several
        return short_id("run", self.symbol, self.session.isoformat(), self.target, self.source, own.hash)


def short_id(*parts: str) -> str:
    """Twelve hex digits that name `parts`: ids are derived, never drawn, so that a repeated run repeats them."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]


def run_folder(settings: Settings, run_id: str) -> Path:
    """Where a run keeps what its tasks hand each other; emptied when the run is done."""
    return settings.data_dir.absolute() / "runs" / run_id


def artifact_folder(settings: Settings, model_id: str) -> Path:
    """Where a model's weights and its JSON lie."""
    return settings.data_dir.absolute() / "artifacts" / model_id


def report_path(settings: Settings, symbol: str, target: Target) -> Path:
    """The report page of a symbol and target; `^` is awkward in shells and links."""
    return settings.data_dir.absolute() / "reports" / f"{symbol.replace('^', '_')}-{target}.html"
