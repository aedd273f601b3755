"""The rows of tables that more than one room reads: each field is the column of its name."""

from dataclasses import dataclass
from datetime import date, datetime

from forecasting.conditions import Condition, Kind
from forecasting.vocabulary import RunStatus, Target

_OUTCOMES: dict[RunStatus, Kind] = {
    "running": "running",
    "done": "done",
    "late": "late",
    "failed": "failed",
    "closed": "ended",
}


@dataclass(frozen=True)
class FetchRow:
    """One request to a source and its outcome, of table fetches."""

    id: str
    source: str
    title: str
    fetched_at: datetime
    first_asked: date
    last_asked: date
    first_received: date | None
    last_received: date | None
    row_count: int
    payload_hash: str
    verdict: str
    detail: str


@dataclass(frozen=True)
class FindingRow:
    """A fault of a bar, of table findings."""

    id: str
    symbol: str
    session: date | None
    rule: str
    severity: str
    value: float | None


@dataclass(frozen=True)
class ModelRow:
    """A network's fit or a baseline's rule, of table models."""

    id: str
    name: str
    version: str
    method: str
    symbol: str
    target: str
    scope: str
    seed: int
    code_version: str
    created_at: datetime
    parent_id: str | None = None
    base: str = ""
    trained_from: date | None = None
    trained_to: date | None = None
    epochs: int = 0
    chain_epochs: int = 0
    fetch_id: str | None = None
    companion_fetches: str = ""
    run_id: str | None = None
    artifact_hash: str | None = None
    seconds: float = 0.0
    refused: str = ""
    gate: str = ""
    withdrawn_at: datetime | None = None


@dataclass(frozen=True)
class WeightsRow:
    """What a network is loaded from, of table weights."""

    model_id: str
    card: str
    tensors: bytes


@dataclass(frozen=True)
class RunRow:
    """One night, of table runs; defaults are those of a night that could not be written."""

    id: str
    as_of: date
    symbol: str
    target: str
    status: RunStatus
    started_at: datetime
    source: str = ""
    trigger: str = ""
    mode: str = ""
    mode_reason: str = ""
    mode_kind: str = ""
    flow_run_id: str | None = None
    code_version: str = ""
    settings: str = ""
    note: str = ""
    notes: str = ""
    error: str | None = None

    @property
    def outcome(self) -> Condition:
        """What came of the night, with what stopped it or else its note."""
        reason = self.note if self.error is None else self.error
        return Condition(_OUTCOMES[self.status], {"reason": reason})


@dataclass(frozen=True)
class OfForecast:
    """The key of a forecast, FORECAST_KEY."""

    symbol: str
    target: Target
    origin_session: date
    horizon: int
    model_id: str
    kind: str


@dataclass(frozen=True)
class Quantiles(OfForecast):
    """What is forecast of a session, or of the sessions up to it, in the target's unit."""

    target_session: date
    q05: float
    q10: float
    q25: float
    q50: float
    q75: float
    q90: float
    q95: float


@dataclass(frozen=True)
class IssuedRow(Quantiles):
    """What a model forecasts for one session as a night writes it, of table forecasts."""

    role: str
    status: str
    reason: str
    last_value: float
    past_forecasts: int
    calibration: str
    calendar: str
    issued_at: datetime
    data_as_of: datetime
    fetch_id: str
    run_id: str


@dataclass(frozen=True)
class PartRow(OfForecast):
    """A factor of a published median, of table forecast_parts."""

    part: str
    place: int
    factor: float


@dataclass(frozen=True)
class ForecastRow(Quantiles):
    """What is published for one session, of view published_forecasts joined with its fetch."""

    last_value: float | None
    status: str
    reason: str
    issued_at: datetime
    data_as_of: datetime
    run_id: str
    fetch_id: str
    usual: float | None
    vs_usual: float | None
    special_day: str
    expected_report: date | None
    title: str
    source: str


@dataclass(frozen=True)
class ResultRow:
    """The newest score that counts one session ahead, of view counted_scores and its forecast."""

    symbol: str
    target: str
    kind: str
    target_session: date
    q10: float
    q50: float
    q90: float
    actual: float
    inside_80: bool


@dataclass(frozen=True)
class TotalRow(Quantiles):
    """The volume of the next `horizon` sessions together, of table total_forecasts."""

    role: str
    factor: float
    issued_at: datetime


TABLES: dict[type, str] = {
    FetchRow: "fetches",
    FindingRow: "findings",
    ModelRow: "models",
    RunRow: "runs",
    WeightsRow: "weights",
}
"""The table of each kind of row."""
