"""Flow parameters as settings, and the names of flow runs."""

from datetime import date
from typing import Any

from prefect import runtime
from pydantic import ValidationError

from flows import clock
from forecasting.errors import UsageError
from forecasting.pipeline.plan import newest_named
from forecasting.settings import Settings, read_settings


def narrowed(**given: Any) -> Settings:  # noqa: ANN401 - any value of a form; pydantic checks it
    """The settings in force, overridden by the given flow parameters; None keeps a setting.

    Raises:
        UsageError: A symbol or another value is not valid.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings.model_validate({**dict(read_settings()), **chosen})
    except ValidationError as error:
        problems = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors(include_input=False))
        raise UsageError(f"Invalid flow parameter. {problems}.") from None


def night_run_name() -> str:
    """`nightly-SBUX-2024-03-08`: flow, symbols and session, for the list of runs."""
    given = runtime.flow_run.parameters
    settings = read_settings()
    symbols = given.get("symbols") or settings.symbols
    session: date | None = given.get("as_of") or given.get("last")
    session = session or newest_named(symbols[0], given.get("source"), settings.for_symbol(symbols[0]), now=clock.now)
    return f"{runtime.flow_run.flow_name}-{'+'.join(symbols[:3])}-{session}"


def backtest_run_name() -> str:
    """`backtest-SBUX-2023-01-03-2023-12-29`."""
    given = runtime.flow_run.parameters
    symbol = given.get("symbol") or read_settings().symbols[0]
    return f"backtest-{symbol}-{given['first']}-{given['last']}"
