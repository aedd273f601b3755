"""The settings of a night, read once from the environment (prefix FORECASTING_) and from nowhere else."""

import hashlib
import json
import re
from datetime import date, time
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from forecasting.errors import UsageError
from forecasting.exchanges import check_exchange, exchange_of, parse_named
from forecasting.vocabulary import Mode as Mode
from forecasting.vocabulary import Target as Target

SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^]{0,14}")
"""Yahoo's ticker alphabet. A symbol becomes part of file names and Prefect names, so nothing else is let in."""

# What changes a number that is forecast. Where the night runs, and when, does not.
_SHAPES_THE_FORECAST = ("target", "train_sessions", "seed", "members", "exchange")


class Settings(BaseSettings):
    """Frozen settings; each field is an environment variable, FORECASTING_ in front of its name in capitals.

    An empty variable is one that is not set, as compose files and shells leave them.
    """

    model_config = SettingsConfigDict(env_prefix="FORECASTING_", env_ignore_empty=True, frozen=True, extra="forbid")

    data_dir: Path = Field(
        Path("forecasting-data"), description="Folder of the database, the artifacts and the reports."
    )
    database_url: SecretStr | None = Field(None, description="SQLAlchemy URL; without it a SQLite file in data_dir.")
    symbols: Annotated[tuple[str, ...], NoDecode] = Field(("SBUX",), description="Symbols of a night, comma separated.")
    companions: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Symbols fetched each night to learn from, never forecast, comma separated."
    )
    target: Target = Field("volume", description="What is forecast: volume, close or range.")
    source: str = Field("yahoo", description="yahoo, csv:PATH, parquet:PATH, sample or an installed NAME:ARGUMENT.")
    events: str | None = Field(None, description="Earnings dates as csv:PATH (columns announced, timing).")
    exchange: str = Field("XNYS", description="Exchange of symbols without a suffix, as exchange_calendars names it.")
    exchanges: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Exchange where neither suffix (VOD.L) nor FORECASTING_EXCHANGE is right: VOD=XLON,...",
    )
    train_sessions: int = Field(2500, ge=300, description="Sessions of the rolling training window.")
    members: int = Field(3, ge=1, le=32, description="Networks in the ensemble.")
    seed: int = Field(0, ge=0, description="Seed of every random draw.")
    scratch_every: int = Field(21, ge=1, description="Sessions between fits from scratch in mode auto.")
    max_model_age: int = Field(63, ge=1, description="Sessions after which a champion may no longer speak.")
    cron: str = Field("30 5 * * 2-6", description="When `serve` starts the night.")
    timezone: str = Field("America/New_York", description="Time zone of cron and late_until.")
    late_until: time = Field(time(9), description="When a night that waits for its bar goes on without it.")
    keep_artifacts: int = Field(60, ge=5, description="Nights whose weight files are kept.")

    @model_validator(mode="before")
    @classmethod
    def _default_symbol(cls, values: dict[str, object]) -> dict[str, object]:
        # The sample holds one series; asking for SBUX there can only be an oversight.
        if values.get("source") == "sample" and not values.get("symbols"):
            values["symbols"] = "^GSPC"
        return values

    @field_validator("symbols", "companions", mode="before")
    @classmethod
    def _split_symbols(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("symbols", "companions")
    @classmethod
    def _check_symbols(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for symbol in value:
            check_symbol(symbol)
        if not value and info.field_name == "symbols":
            raise ValueError("at least one symbol is needed")
        return tuple(dict.fromkeys(value))

    @field_validator("exchange")
    @classmethod
    def _check_exchange(cls, value: str) -> str:
        return check_exchange(value)

    @field_validator("exchanges", mode="before")
    @classmethod
    def _split_exchanges(cls, value: object) -> object:
        return parse_named(value) if isinstance(value, str) else value

    @field_validator("exchanges")
    @classmethod
    def _check_exchanges(cls, value: dict[str, str]) -> dict[str, str]:
        return {check_symbol(symbol): check_exchange(exchange) for symbol, exchange in value.items()}

    def exchange_of(self, symbol: str) -> str:
        """The exchange whose sessions count for `symbol`: as `exchanges` says, else its suffix, else `exchange`."""
        return exchange_of(symbol, named=self.exchanges, otherwise=self.exchange)

    def for_symbol(self, symbol: str) -> "Settings":
        """The settings of this symbol alone: `symbols` is (symbol,), `exchange` is its own, and so is the hash."""
        return self.model_copy(update={"symbols": (symbol,), "exchange": self.exchange_of(symbol)})

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL, password included: never log it."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir.absolute() / 'forecasting.db'}"
        return _with_driver(self.database_url.get_secret_value())

    @property
    def hash(self) -> str:
        """Twelve hex digits over the settings that change a forecast's numbers."""
        return hashlib.sha256(json.dumps(self.shaping(), sort_keys=True).encode()).hexdigest()[:12]

    def shaping(self) -> dict[str, object]:
        """The settings that change a forecast's numbers, as JSON values."""
        # Without companions nothing of them is said, so that hashes and ids of before there were any stay as they were.
        return self.model_dump(
            mode="json", include={*_SHAPES_THE_FORECAST, *(["companions"] if self.companions else [])}
        )


def read_settings() -> Settings:
    """The settings in force.

    Raises:
        UsageError: A FORECASTING_ variable is wrong; names each, what it must be and what was found (secrets hidden).
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"FORECASTING_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise UsageError(f"A setting cannot be meant. {wrong}. `forecasting settings` lists all of them.") from None


def check_symbol(symbol: str) -> str:
    """`symbol` itself.

    Raises:
        UsageError: It holds anything outside Yahoo's ticker alphabet, or lower case.
    """
    if not SYMBOL.fullmatch(symbol):
        raise UsageError(
            f"A symbol is 1 to 15 of A-Z 0-9 . - = ^ (SBUX, BRK-B, ^GSPC); found {symbol!r}. "
            "Write it the way Yahoo does, in capitals."
        )
    return symbol


def parse_date(text: str) -> date:
    """The date that an ISO text names.

    Raises:
        UsageError: Not of the form 2024-03-08, or no such day.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"A date is written like 2024-03-08; found {text!r}.") from None


def _with_driver(url: str) -> str:
    # psycopg 3 is what we install; a bare postgresql:// would look for psycopg2.
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
