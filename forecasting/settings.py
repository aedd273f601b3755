"""Settings, of FORECASTING_ variables (options set them), secret files or forecasting.toml."""

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from forecasting.errors import ForecastingError, UsageError, combined, explained
from forecasting.sessions import check_exchange, check_has_sessions, exchange_of
from forecasting.settings_file import DATA_DIR, check_private, file_values, settings_file
from forecasting.values import (
    NO_MARKET,
    MarketChoice,
    check_market,
    check_rival,
    check_symbol,
    check_web_address,
    encoded,
    is_file,
    listed,
    market_symbol,
    parse_pairs,
    parse_targets,
    with_kind,
)
from forecasting.vocabulary import RULES
from forecasting.vocabulary import Target as Target

Value = TypeVar("Value")

OTHER_VARIABLES = ("CONFIG", "SECRETS_DIR", "DB_PASSWORD")
"""Names after FORECASTING_ besides the settings: two places, and what containers read."""

_SECRETS = ("database_url", "notify")


def _valid_symbol(symbol: str) -> str:
    """The symbol in capitals; pydantic collects its error, so that the variable is named."""
    try:
        return check_symbol(symbol)
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from None


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, one or more, without repetition."""
    if not names:  # pydantic's own bound would count the invalid ones as missing
        raise ValueError("Expected one or several, found none")
    return tuple(dict.fromkeys(names))


def _with_home(text: str) -> str:
    """The option of a source, of a path alone too, with the user's folder in place of ~."""
    return re.sub("^(csv:|parquet:|)~(?=/)", rf"\1{Path.home()}", with_kind(text))


def _of_text(read: Callable[[str], object]) -> BeforeValidator:
    """A validator that parses a text, as a variable has it, and leaves a value of TOML as it is."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


def _joined(by: str) -> BeforeValidator:
    """A validator that joins a list of TOML to a text."""
    return BeforeValidator(
        lambda value: by.join(map(str, value)) if isinstance(value, list) else value
    )


def _unless_none(urls: SecretStr | None) -> SecretStr | None:
    return None if urls and urls.get_secret_value() == "none" else urls


_Symbol = Annotated[str, AfterValidator(_valid_symbol)]
_Exchange = Annotated[str, AfterValidator(check_exchange)]
_Source = Annotated[str, AfterValidator(_with_home)]
_Rival = Annotated[str, AfterValidator(check_rival)]


class Settings(BaseSettings):
    """Frozen settings; each field is read from the variable FORECASTING_ and its name in capitals.

    An empty variable counts as not set, because compose files and shells pass unset variables as
    empty.
    """

    model_config = SettingsConfigDict(
        env_prefix="FORECASTING_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = DATA_DIR
    """Folder of the database and reports."""

    database_url: SecretStr | None = Field(None, examples=["postgresql:///forecast"])
    """SQLAlchemy URL; if not set, a SQLite file in data_dir."""

    symbols: Annotated[
        tuple[_Symbol, ...], NoDecode, _of_text(listed), AfterValidator(_each_once)
    ] = ("SBUX",)
    """Symbols of a night, comma separated."""

    targets: Annotated[
        tuple[Target, ...], NoDecode, _of_text(parse_targets), AfterValidator(_each_once)
    ] = ("volume",)
    """What is forecast: volume, range, comma separated, or all."""

    source: _Source = "yahoo"
    """yahoo, a .csv or .parquet file, sample or an installed NAME:ARGUMENT."""

    events: _Source | None = Field(None, examples=["dates.csv"])
    """Earnings dates: a .csv file (columns announced, timing, symbol) or yahoo."""

    market: Annotated[_Source, AfterValidator(check_market)] | None = Field(None, examples=["^VIX"])
    """Market series: a symbol of the source, a .csv or .parquet file, none; else ^VIX of yahoo."""

    rivals: Annotated[dict[_Rival, _Source], NoDecode, _of_text(parse_pairs)] = Field(
        {}, examples=[{"house": "csv:house.csv"}]
    )
    """Your own forecasts, to score beside these: house=csv:house.csv,..."""

    files: Annotated[tuple[Path, ...], NoDecode, _of_text(listed)] = ()
    """Folders of files that flow parameters may name, comma separated; else sources in data_dir."""

    exchange: _Exchange = "XNYS"
    """Exchange of symbols without a suffix, as in exchange_calendars."""

    exchanges: Annotated[dict[_Symbol, _Exchange], NoDecode, _of_text(parse_pairs)] = {}
    """Exchanges of symbols, before suffix (VOD.L) and exchange: VOD=XLON,..."""

    cron: str = "30 5-8 * * 2-6"
    """When `serve` starts the night; a later hour finds it done or makes up for it."""

    timezone: ZoneInfo = ZoneInfo("America/New_York")
    """Time zone of cron."""

    runner: Literal["local", "processes", "dask"] | None = Field(None, examples=["processes"])
    """Where batches of symbols are run; if not set, local, from 50 nights on in processes."""

    workers: int | None = Field(None, ge=1, le=1024, examples=[2])
    """Processes or Dask workers; if not set, one a core."""

    dask_address: str | None = Field(None, examples=["tcp://localhost:8786"])
    """Scheduler of runner dask, tcp://HOST:8786; else own workers."""

    cost_ratio: float | None = Field(None, gt=0.0, allow_inf_nan=False, examples=[2.0])
    """Cost of too high over too low, to name the cheapest quantile."""

    notify: Annotated[SecretStr | None, _joined(" "), AfterValidator(_unless_none)] = Field(
        None, examples=["ntfys://ntfy.example.org/forecasts"]
    )
    """Addresses of messages about nights, as URLs of apprise; if not set, or none, none."""

    alerts: Annotated[str, _joined("; "), AfterValidator(lambda text: text.strip("; "))] = ""
    """Conditions that stand first in the digest: median > 1.5 usual; SBUX q90 > 20e6"""

    pages_url: Annotated[str, AfterValidator(check_web_address)] = ""
    """Address of the folder reports on a web server, https://HOST/reports, for messages' links."""

    @model_validator(mode="before")
    @classmethod
    def _symbol_of_sample(cls, values: dict[str, object]) -> dict[str, object]:
        # The sample has one series, so the default SBUX cannot apply.
        if values.get("source") == "sample" and not values.get("symbols"):
            values["symbols"] = "^GSPC"
        return values

    def exchange_of(self, symbol: str) -> str:
        """The exchange of `symbol`: from `exchanges`, else from its suffix, else `exchange`.

        A UsageError for one that trades around the clock, unless a setting names its sessions.
        """
        if symbol not in self.exchanges and self.exchange == "XNYS":
            check_has_sessions(symbol)
        return exchange_of(symbol, overrides=self.exchanges, default=self.exchange)

    @model_validator(mode="after")
    def _have_sessions(self) -> "Settings":
        for symbol in self.symbols:
            self.exchange_of(symbol)
        return self

    def for_symbol(self, symbol: str) -> "Settings":
        """The settings of one symbol, with its exchange."""
        update = {"symbols": (symbol,), "exchange": self.exchange_of(symbol)}
        return self.model_copy(update=update)

    @property
    def symbol(self) -> str:
        """Whose bars are used, in the settings of one symbol."""
        return self.symbols[0]

    @property
    def target(self) -> Target:
        """What is forecast, in the settings of one target."""
        return self.targets[0]

    @property
    def key(self) -> tuple[str, Target]:
        """Symbol and target, in the settings of one of each."""
        return self.symbol, self.target

    @property
    def full_name(self) -> str:
        """Symbol and target in words, `SBUX volume`, in the settings of one of each."""
        return " ".join(self.key)

    @property
    def columns(self) -> dict[str, str]:
        """The columns by which the rows of its symbol and target are found."""
        return {"symbol": self.symbol, "target": self.target}

    @property
    def series(self) -> dict[str, "Settings"]:
        """The settings of each symbol and target, by `series_name`."""
        return {
            self.series_name(symbol, target): self.for_symbol(symbol).for_target(target)
            for symbol in self.symbols
            for target in self.targets
        }

    def series_name(self, symbol: str, target: str) -> str:
        """What names a series among these: its symbol, with several targets `SBUX volume`."""
        return symbol if len(self.targets) == 1 else f"{symbol} {target}"

    def for_target(self, target: Target) -> "Settings":
        """The settings of one target."""
        return self.model_copy(update={"targets": (target,)})

    @property
    def market_choice(self) -> MarketChoice | None:
        """The market series in force; None for none."""
        chosen = self.market
        if chosen is None and self.source == "yahoo":
            chosen = "^VIX"
        if chosen in (None, NO_MARKET):
            return None
        symbol = market_symbol(chosen)
        has_own_file = is_file(chosen)
        return MarketChoice(
            symbol,
            source=chosen if has_own_file else self.source,
            # Without a suffix that of the VIX, whatever `exchange` is
            exchange=exchange_of(symbol, overrides=self.exchanges, default="XNYS"),
            has_own_file=has_own_file,
        )

    @property
    def yahoo_cache(self) -> Path:
        """The folder where Yahoo's time zones and cookies are kept between nights."""
        return self.data_dir.absolute() / "yahoo-cache"

    @property
    def reports(self) -> Path:
        """The folder of pages."""
        return self.data_dir.absolute() / "reports"

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL, password included: never log it."""
        if self.database_url is None:
            return f"sqlite:///{encoded(self.data_dir.absolute() / 'forecasting.db')}"
        return self.database_url.get_secret_value()

    @property
    def forecast_key(self) -> str:
        """The `forecast_fields` as text, a part of ids: other settings have other rows."""
        return json.dumps(self.forecast_fields(), sort_keys=True)

    def forecast_fields(self) -> dict[str, object]:
        """What decides forecasts besides code, bars and earnings dates, as JSON values."""
        values: dict[str, object] = {"exchange": self.exchange, "rules": RULES}
        if self.market is not None:  # by its symbol: where a file lies changes no number
            values["market"] = market_symbol(self.market)
        return values


@dataclass(frozen=True)
class Outcomes(Generic[Value]):
    """What came of each series, in the order of the settings, by name: its value, or its error."""

    values: dict[str, Value] = field(default_factory=dict)
    errors: dict[str, ForecastingError] = field(default_factory=dict)

    def raise_failed(self) -> None:
        """Raise the failures, if any, as one error: `combined`."""
        if self.errors:
            raise combined(self.errors, of=len(self.values) + len(self.errors))


def each_symbol(settings: Settings, work: Callable[[Settings], Value]) -> Outcomes[Value]:
    """What came of `work` for each symbol and target, by `series_name`."""
    outcomes = Outcomes[Value]()
    for name, one in settings.series.items():
        try:
            outcomes.values[name] = work(one)
        except Exception as error:  # whatever it is, it is this one's
            outcomes.errors[name] = explained(error)
    return outcomes


def read_settings() -> Settings:
    """The settings in force; a UsageError names each invalid or misspelt one, but no secret."""
    try:
        _check_names()
        of_file = file_values()
        check_private(of_file)
        return Settings(**(of_file | _secrets() | _variables()))
    except ValidationError as error:
        places = setting_places()
        problems = "; ".join(
            _problem(problem, places) for problem in error.errors(include_url=False)
        )
        raise UsageError(
            f"Invalid setting. {problems}. Once it is valid, `forecasting settings` lists all."
        ) from None
    except (OSError, ValueError) as error:  # which quotes no secret
        raise UsageError(
            f"Expected FORECASTING_SECRETS_DIR to be a folder of text files; found: {error}."
        ) from None


def setting_places() -> dict[str, str]:
    """Where each setting that is no default comes from: `environment`, or its file."""
    folder = os.environ.get("FORECASTING_SECRETS_DIR")
    return {
        **dict.fromkeys(file_values(), f"{settings_file()}"),
        **{name: f"{folder}/forecasting_{name}" for name in _secrets()},
        **dict.fromkeys(_variables(), "environment"),
    }


def _secrets() -> dict[str, Any]:
    """What the files of FORECASTING_SECRETS_DIR have, each named as its variable."""
    folder = os.environ.get("FORECASTING_SECRETS_DIR")
    if folder and not Path(folder).is_dir():
        raise SettingsError(f"no folder {folder}")
    return SecretsSettingsSource(Settings, secrets_dir=folder or None)()


def _variables() -> dict[str, Any]:
    """Return the settings that FORECASTING_ variables give."""
    return EnvSettingsSource(Settings)()


def _problem(problem: ErrorDetails, places: Mapping[str, str]) -> str:
    """One invalid setting: its place, what is expected, what was found if that is no secret."""
    name = str(problem["loc"][0])
    file = places.get(name, "environment")
    place = f"FORECASTING_{name.upper()}" if file == "environment" else f"{name} in {file}"
    if problem["type"] == "extra_forbidden":  # its value may be a secret under a misspelt name
        near = difflib.get_close_matches(name, Settings.model_fields, cutoff=_NEAR)
        return f"{place}: no such setting{f' ({near[0]}?)' if near else ''}"
    # Our messages name what was found themselves
    is_named = problem["type"] == "value_error" or name.startswith(_SECRETS)
    found = "" if is_named else f", found {str(problem['input'])[:40]!r}"
    expected = problem["msg"].removeprefix("Value error, ").partition(", unable to parse")[0]
    if problem["type"] == "zoneinfo_str":
        expected = "expected a time zone such as America/New_York"
    return f"{place}: {re.sub('^Input should be', 'expected', expected)}{found}"


_NEAR = 0.75  # least likeness of a misspelt name, as of `difflib`


def _fault_of(name: str, known: list[str]) -> str:
    """The name of a variable or secret file that would be ignored, with why; else empty."""
    prefix, _, setting = name.upper().partition("FORECASTING_")
    if prefix or not setting or setting in known:
        return ""
    near = difflib.get_close_matches(setting, known, cutoff=_NEAR)
    return f"{name[:52]} (FORECASTING_{near[0]}?)" if near else ""


def _check_names() -> None:
    """Refuse variables and secret files with a misspelt name: they would be ignored silently."""
    folder = os.environ.get("FORECASTING_SECRETS_DIR")
    files = os.listdir(folder) if folder and Path(folder).is_dir() else []  # noqa: PTH208 - the names alone
    known = [*map(str.upper, Settings.model_fields), *OTHER_VARIABLES]
    misspelt = [fault for name in (*os.environ, *files) if (fault := _fault_of(name, known))]
    if misspelt:
        raise UsageError(
            "Expected names of settings in the environment and in FORECASTING_SECRETS_DIR, found "
            f"{'; '.join(misspelt)}. Correct or remove each; `forecasting settings` lists all "
            "settings."
        )
